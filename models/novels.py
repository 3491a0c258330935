"""More English prose for the recipe: two public collections of novels -> one file in the form of the corpora's books.

    git clone https://github.com/computationalstylistics/100_english_novels
    git clone https://github.com/COST-ELTeC/ELTeC-eng
    python models/novels.py 100_english_novels ELTeC-eng --data ../shared/corpora --out build/data

The texts are in the public domain (the markup of ELTeC, which is dropped here, is CC BY 4.0: Burnard (ed.), English Novel
Corpus, doi:10.5281/zenodo.3533868). Works first published after LATEST are left out, and so is every work that shares
prose with the training books, the held-out ones or the benchmark text: `overlap` counts sampled runs of eight words.

Paragraphs are separated by empty lines and wrapped at 72 columns, quotation marks are made typographic: as in most of the
held-out books. Written: novels.txt.gz.
"""

import argparse
import glob
import gzip
import os
import re
import textwrap
import xml.etree.ElementTree as ET
import zlib

from data import read_text, split_books

LATEST = 1930  # in the public domain in the US: published more than 95 years ago
TEI = "{http://www.tei-c.org/ns/1.0}"


def typographic(text):
    text = re.sub(r'(^|[\s(\[\u2014\u2018-])"', "\\1\u201c", text)
    text = text.replace('"', "\u201d")
    text = re.sub(r"(^|[\s(\[\u2014\u201c-])'(?=\w)(?!(?:tis|twas|em|twere|twill|till)\b)", "\\1\u2018", text)
    return text.replace("'", "\u2019")


def paragraphs_of_plain(text):
    """Some of the files have empty lines between paragraphs, wrapped or not; the others only show where a paragraph ends
    by a short line that ends like a sentence."""
    lines = [re.sub(r"(?<=\S) {2,}", " ", line.rstrip()) for line in text.replace("\r\n", "\n").split("\n")]
    if sum(not line for line in lines) > 0.02 * len(lines):
        return [" ".join(line.strip() for line in block.split("\n")) for block in re.split(r"\n\n+", "\n".join(lines)) if block.strip()]
    widths = sorted(len(line) for line in lines if line)
    short = 0.85 * widths[int(0.9 * len(widths))]
    out, current = [], []
    for line in lines:
        current.append(line.strip())
        if len(line) < short and re.search(r"[.!?:;-][\"']*$", line) or line.isupper():
            out.append(" ".join(current))
            current = []
    return out + [" ".join(current)]


def paragraphs_of_tei(root):
    text = root.find(f"{TEI}text/{TEI}body")
    for note in [(p, c) for p in text.iter() for c in p if c.tag in (TEI + "note", TEI + "pb")]:
        note[0].remove(note[1]) if not note[1].tail else (setattr(note[1], "text", None), [note[1].remove(c) for c in list(note[1])])
    return ["".join(e.itertext()) for e in text.iter() if e.tag in (TEI + "p", TEI + "head", TEI + "l", TEI + "trailer")]


def works(novels, eltec):
    for path in sorted(glob.glob(os.path.join(eltec, "level1", "*.xml"))):
        root = ET.parse(path).getroot()
        title, author = (root.find(f".//{TEI}titleStmt/{TEI}{k}").text for k in ("title", "author"))
        yield title.split(":")[0].strip(), (author or "").split("(")[0].strip(" ,"), paragraphs_of_tei(root)
    for path in sorted(glob.glob(os.path.join(novels, "corpus", "*.txt"))):
        author, title, year = os.path.basename(path)[:-4].split("_")
        if int(year) <= LATEST:
            with open(path, encoding="utf-8-sig") as f:
                yield title, author, paragraphs_of_plain(f.read())


def sampled_runs(text, run=8, one_in=16):
    words = re.findall(r"[a-z]+", text.lower())
    hashes = (zlib.crc32(" ".join(words[i : i + run]).encode()) for i in range(0, len(words) - run))
    return {h for h in hashes if h % one_in == 0}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("novels")
    parser.add_argument("eltec")
    parser.add_argument("--data", default="../shared/corpora")
    parser.add_argument("--out", required=True)
    args = parser.parse_args()
    known = set()
    for name in ("gutenberg/en-train.txt.gz", "gutenberg/en-heldout.txt.gz"):
        for book in split_books(read_text(args.data, name)):
            known |= sampled_runs(book.text)
    known |= sampled_runs(read_text(args.data, "bench-mixed.txt.gz"))
    kept, size = [], 0
    for title, author, paragraphs in works(args.novels, args.eltec):
        text = "\n\n".join(textwrap.fill(" ".join(typographic(p).split()), 72, break_long_words=False, break_on_hyphens=False) for p in paragraphs if p.strip())
        runs = sampled_runs(text)
        overlap = len(runs & known) / max(1, len(runs))
        if overlap > 0.02:
            print(f"left out: {title} ({author}): {100 * overlap:.0f} % of its runs are known")
            continue
        known |= runs
        kept.append(f"<|book|>{title}\t{author}\n{text}\n")
        size += len(text.encode())
    os.makedirs(args.out, exist_ok=True)
    with gzip.GzipFile(os.path.join(args.out, "novels.txt.gz"), "wb", mtime=0) as f:
        f.write("\n".join(kept).encode())
    print(f"{len(kept)} novels, {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
