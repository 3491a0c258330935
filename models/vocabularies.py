"""The family's tokenizers, learned by Microtome's own trainers through its command line.

    python models/vocabularies.py --data ../shared/corpora --out build/vocabularies [NAME ...]

Every vocabulary begins with the special tokens (END, MASK, PAD; in the Unigram one after its unknown token) and holds all
256 bytes, so any text encodes.
The text ones cut text as GPT-2 does and learn from the same documents; the two for digits differ only in where groups of
three digits begin.
"""

import argparse
import gzip
import json
import os
import subprocess
import sys
import tempfile
import time

import numpy as np

from words import GPT2, Words, cut

END, MASK, PAD = SPECIAL = ["<|endoftext|>", "<|mask|>", "<|pad|>"]
CLI = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "web", "node", "cli.js")
BYTE_MAP = {b: chr(b) for b in [*range(33, 127), *range(161, 173), *range(174, 256)]}
BYTE_MAP |= {b: chr(256 + i) for i, b in enumerate(b for b in range(256) if b not in BYTE_MAP)}  # GPT-2's names of bytes

LEFT_TO_RIGHT = r"\p{N}{1,3}|[^\p{N}]"
RIGHT_TO_LEFT = r"\p{N}{1,3}(?=(?:\p{N}{3})*(?!\p{N}))|[^\p{N}]"
TEXT = ["--splitter", "byte-level"]
KINDS = {  # name: (corpus, arguments of `microtome train`)
    "byte": (None, ["--kind", "bpe", *TEXT, "--vocab-size", "259"]),
    "bpe-1k": ("text", ["--kind", "bpe", *TEXT, "--vocab-size", "1024"]),
    "bpe-2k": ("text", ["--kind", "bpe", *TEXT, "--vocab-size", "2048"]),
    "bpe-4k": ("text", ["--kind", "bpe", *TEXT, "--vocab-size", "4096"]),
    "bpe-16k": ("text", ["--kind", "bpe", *TEXT, "--vocab-size", "16384"]),
    "unigram-4k": ("text", ["--kind", "unigram", *TEXT, "--alphabet", "".join(BYTE_MAP.values()), "--vocab-size", "4096"]),
    "pathpiece-4k": ("text", ["--kind", "pathpiece", *TEXT, "--vocab-size", "4096"]),
    "digits-ltr": ("arithmetic", ["--kind", "bpe", "--pattern", LEFT_TO_RIGHT, "--vocab-size", "1359"]),
    "digits-rtl": ("arithmetic", ["--kind", "bpe", "--pattern", RIGHT_TO_LEFT, "--vocab-size", "1359"]),
}


def microtome(*arguments, given=None):
    result = subprocess.run(["node", CLI, *arguments], input=given, capture_output=True, check=False)
    if result.returncode:
        raise SystemExit(f"microtome {' '.join(arguments)}\n{result.stderr.decode()}")
    return result.stdout


class Vocabulary:
    """Encodes documents. Merges and Unigram scores are read by the `tokenizers` library, whose ids are the same; what it
    does not know (PathPiece) comes as a table word -> ids that the command line made."""

    def __init__(self, path):
        self.path = path
        with open(path, "rb") as f:
            self.json = f.read()
        self.spec = json.loads(self.json)
        table = path.removesuffix(".json") + ".words.json.gz"
        self.words = None
        if os.path.exists(table):
            with gzip.open(table, "rt", encoding="utf-8") as f:
                self.words = json.load(f)
        vocab = self.spec["model"]["vocab"]
        self.pieces = [p[0] for p in vocab] if isinstance(vocab, list) else [t for t, _ in sorted(vocab.items(), key=lambda kv: kv[1])]
        added = {t["id"]: t["content"] for t in self.spec["added_tokens"]}
        self.pieces += [added[i] for i in range(len(self.pieces), len(self.pieces) + len([i for i in added if i >= len(self.pieces)]))]
        self.size = len(self.pieces)
        self.ids = {t: i for i, t in enumerate(self.pieces)}
        self.special = [t["content"] for t in self.spec["added_tokens"]]
        self.end = self.ids[END]
        self.newlines = [i for i, t in enumerate(self.pieces) if t and set(t) <= {BYTE_MAP[10]}]
        self.unmap = {c: b for b, c in BYTE_MAP.items()}
        self.by_words = "ByteLevel" in json.dumps(self.spec["pre_tokenizer"]) and "digits" not in os.path.basename(path)

    def encode_words(self, words, dropout=0.0):
        """A list of ids for every word (a piece that GPT-2's expression cuts). dropout: BPE-dropout (Provilkov et al. 2020)."""
        if self.words is not None:
            if dropout:
                raise ValueError(f"{self.path}: dropout is for BPE")
            missing = [w for w in words if w not in self.words]
            if missing:
                raise ValueError(f"{self.path}: the table of words lacks {missing[0]!r}")
            return [self.words[w] for w in words]
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_str(self.json.decode())
        if dropout:
            tokenizer.model.dropout = dropout
        encode = getattr(tokenizer, "encode_batch_fast", tokenizer.encode_batch)
        return [e.ids for i in range(0, len(words), 1 << 16) for e in encode(words[i : i + (1 << 16)], add_special_tokens=False)]

    def encode_documents(self, documents):
        """One uint16 array per document, without special tokens."""
        if not self.by_words:
            return [np.array(ids, dtype=np.uint16) for ids in self.encode_words([d.text for d in documents])]
        return Words.of([d.text for d in documents]).encode(self)

    def encode(self, text):
        if not self.by_words:
            return self.encode_words([text])[0]
        words, at = cut(text)
        ids = self.encode_words(words)
        return [i for w in at for i in ids[w]]

    def decode(self, ids):
        return b"".join(bytes(self.unmap[c] for c in self.pieces[i]) for i in ids if self.pieces[i] not in self.special).decode("utf-8", "replace")


def words_table(tokenizer, texts, path):
    """The command line's encoding of every distinct word of the texts."""
    import regex

    pattern, words = regex.compile(GPT2), set()
    for text in texts:
        words.update(pattern.findall(text))
    words = sorted(words)
    lines = "".join(json.dumps({"text": w}) + "\n" for w in words)
    out = microtome("encode", "--tokenizer", tokenizer, "--jsonl", "--special-as-text", given=lines.encode()).decode().splitlines()
    with gzip.GzipFile(path, "wb", mtime=0) as f:
        f.write(json.dumps({w: json.loads(row)["ids"] for w, row in zip(words, out, strict=True)}, ensure_ascii=False, separators=(",", ":")).encode())


def main():
    from data import Corpus

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", default="../shared/corpora")
    parser.add_argument("--out", required=True)
    parser.add_argument("names", nargs="*", default=[])
    args = parser.parse_args()
    os.makedirs(args.out, exist_ok=True)
    corpus = Corpus(args.data)
    with tempfile.TemporaryDirectory() as scratch:
        files = {}
        for name in args.names or KINDS:
            path = os.path.join(args.out, name + ".json")
            table = path.removesuffix(".json") + ".words.json.gz"
            if os.path.exists(path):
                if "pathpiece" in name and not os.path.exists(table):
                    words_table(path, corpus.all_texts(), table)
                continue
            kind, arguments = KINDS[name]
            if kind not in files:
                files[kind] = os.path.join(scratch, str(kind))
                with open(files[kind], "w", encoding="utf-8", newline="") as f:
                    f.writelines(corpus.tokenizer_texts(kind) if kind else [])
            began = time.time()
            microtome("train", *arguments, "--lines", "keep", "--special", ",".join(SPECIAL), "--out", path, files[kind])
            if "pathpiece" in name:
                words_table(path, corpus.all_texts(), table)
            print(f"{name}: {Vocabulary(path).size} tokens in {time.time() - began:.0f} s", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
