"""Text for training: corpora -> documents -> tokens -> batches.

A *source* is one compressed text file together with a rule that cuts it into documents:

  books    each document starts with a line `<|book|>title TAB author`
  stories  one document per paragraph group; a lone newline separates two stories, an empty line two paragraphs
  plain    the whole file is one document
  speeches each document starts with a line `<|doc|>title`
  sums     no file: additions and subtractions drawn with a seed

Every source has a weight (its share of the training windows) and may be unwrapped (hard line ends inside a prose
paragraph become spaces). Documents that are held out never reach the tokenizer trainer or the batches.

With `dropout` a source is encoded `copies` times, all but the first `clean` of them by BPE-dropout; the copies are one stream.

Batches are a pure function of (seed, step): a resumed run sees the windows that an uninterrupted run would have seen.
"""

import gzip
import json
import os
import re
from dataclasses import dataclass

import numpy as np

# UTF-8 text that was once read as Windows-1252: â€œ and friends. The stories have a few hundred of them.
MOJIBAKE = [("\u00e2\u20ac\u2122", "\u2019"), ("\u00e2\u20ac\u0153", "\u201c"), ("\u00e2\u20ac\u009d", "\u201d"), ("\u00e2\u20ac", "\u201d")]


@dataclass
class Document:
    title: str
    text: str


def read_text(folder, name):
    """folder: one, or several that os.pathsep separates (the corpora, and what novels.py made)."""
    tried = [os.path.join(f, name) for f in folder.split(os.pathsep)]
    path = next((p for p in tried if os.path.exists(p)), None)
    if path is None:
        raise FileNotFoundError(f"{name} is not in {folder}" + ("; novels.py makes it" if name.startswith("novels") else ""))
    opener = gzip.open if name.endswith(".gz") else open
    with opener(path, "rb") as f:
        return f.read().decode("utf-8")


def split_books(text):
    documents = []
    for part in text.split("<|book|>")[1:]:
        title, _, body = part.partition("\n")
        documents.append(Document(title.split("\t")[0].strip(), body.strip() + "\n"))
    return documents


def split_stories(text, shortest=250):
    """Cuts at lone newlines; a piece too short to be a story is the first line of the piece that follows."""
    for bad, good in MOJIBAKE:
        text = text.replace(bad, good)
    documents, pending = [], ""
    for piece in re.split(r"(?<!\n)\n(?!\n)", text):
        pending = (pending + "\n" + piece.strip()).strip()
        if len(pending) >= shortest:
            documents.append(Document(f"story {len(documents)}", pending))
            pending = ""
    if pending:
        documents.append(Document(f"story {len(documents)}", pending))
    return documents


def unwrap(text):
    """Joins the hard-wrapped lines of prose; verse, lists and indented blocks keep their line ends."""
    blocks = []
    for block in re.split(r"\n[ \t]*\n", text):
        lines = block.split("\n")
        inner = sorted(len(line) for line in lines[:-1])
        prose = inner and inner[len(inner) // 2] >= 50 and not any(line[:1].isspace() for line in lines if line)
        blocks.append(" ".join(line.strip() for line in lines if line.strip()) if prose else block)
    return "\n\n".join(blocks)


def split_speeches(text):
    parts = (part.partition("\n") for part in text.split("<|doc|>")[1:])
    return [Document(title.strip(), body.strip() + "\n") for title, _, body in parts]


def split_questions(text):
    rows = (json.loads(line) for line in text.splitlines())
    clean = lambda answer: re.sub(r"<<[^>]*>>", "", answer)
    return [Document(f"question {i}", f"{r['question']}\n{clean(r['answer'])}\n") for i, r in enumerate(rows)]


SPLITTERS = {"speeches": split_speeches, "questions": split_questions, "books": split_books, "stories": split_stories, "plain": lambda text: [Document("text", text)]}


def documents_of(folder, source):
    """The documents of one source entry of the configuration, after exclusion, hold-out and unwrapping."""
    if source["split"] == "sums":
        return arithmetic_documents(source)
    documents = SPLITTERS[source["split"]](read_text(folder, source["file"]))
    excluded = set(source.get("exclude", []))
    missing = excluded - {d.title for d in documents}
    if missing:
        raise ValueError(f"{source['file']}: titles to exclude are not there: {sorted(missing)}")
    documents = [d for d in documents if d.title not in excluded]
    every, part = source.get("holdout_every"), source.get("part", "all")
    if every:  # document i is held out when i mod every == every / 2
        documents = [d for i, d in enumerate(documents) if (i % every == every // 2) == (part == "heldout")]
    if source.get("unwrap"):
        documents = [Document(d.title, unwrap(d.text)) for d in documents]
    return documents


# Arithmetic -----------------------------------------------------------------------------------------------------------


def sums(seed, count, least=1, most=9):
    """`count` lines `a+b=c` or `a-b=c` (c may be negative); the operands' digit counts are even over least..most."""
    rng = np.random.default_rng(seed)
    digits = rng.integers(least, most + 1, (count, 2))
    low = np.where(digits == 1, 0, 10 ** (digits - 1))
    a, b = (low + (rng.random((count, 2)) * (10**digits - low)).astype(np.int64)).T
    minus = rng.random(count) < 0.5
    return [f"{x}{'-' if m else '+'}{y}={x - y if m else x + y}\n" for x, y, m in zip(a.tolist(), b.tolist(), minus.tolist())]


def arithmetic_documents(source):
    lines = sums(source["seed"], source["lines"])
    return [Document(f"sums {i}", "".join(lines[i : i + 2000])) for i in range(0, len(lines), 2000)]


class Corpus:
    """What the tokenizers learn from and what they are applied to."""

    def __init__(self, folder):
        self.folder = folder
        with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "configs", "base.json"), encoding="utf-8") as f:
            self.config = json.load(f)

    def tokenizer_texts(self, kind):
        """Each source once as it is, the stories several times over (`tokenizer_repeat`); of the books the copy with hard line ends;
        the novels came later and have no part in the vocabularies."""
        if kind == "arithmetic":
            yield from sums(7, 200000)
            return
        for source in self.config["data"]["sources"]:
            repeat = source.get("tokenizer_repeat", 1)
            for document in documents_of(self.folder, source) if repeat else []:
                yield from [document.text + "\n"] * repeat

    def all_texts(self):
        for source in self.config["data"]["sources"] + self.config["data"]["heldout"]:
            yield from (document.text for document in documents_of(self.folder, source))


# Batches --------------------------------------------------------------------------------------------------------------


class Stream:
    """All documents of one source, `end` after each, and the positions where a paragraph begins."""

    def __init__(self, source, arrays, end, newline_ids):
        self.name, self.weight = source["name"], float(source["weight"])
        self.late_weight = float(source.get("late_weight", self.weight))
        self.bytes = 0
        pieces = []
        for a in arrays:
            pieces += [a, np.array([end], dtype=a.dtype)]
        self.tokens = np.concatenate(pieces)
        is_newline = np.isin(self.tokens, newline_ids)
        after_end = np.concatenate([[True], self.tokens[:-1] == end])
        blank = np.concatenate([[False, False], is_newline[1:-1] & is_newline[:-2]])
        if source["split"] == "sums":  # every line is a paragraph of its own
            blank = np.concatenate([[False], is_newline[:-1]])
        self.starts = np.flatnonzero((after_end | blank) & ~is_newline & (self.tokens != end))


class Batches:
    """Windows of `context` tokens. With probability `at_start` a window is BOS + the beginning of a paragraph, so that
    a prompt after BOS is familiar ground; otherwise it begins anywhere."""

    def __init__(self, streams, context, batch, at_start, late_step, bos, seed, device):
        import torch

        self.late_step = late_step  # from here on the sources' late weights hold
        self.torch, self.context, self.batch, self.bos, self.seed = torch, context, batch, bos, seed
        self.at_start, self.device = at_start, device
        self.tokens = torch.from_numpy(np.concatenate([s.tokens for s in streams]).astype(np.int32)).to(device)
        low, starts, starts_low = 0, [], []
        lows, spans, start_counts = [], [], []
        for s in streams:
            if len(s.tokens) <= context + 2:
                raise ValueError(f"source {s.name}: {len(s.tokens)} tokens, fewer than one window")
            good = s.starts[(s.starts < len(s.tokens) - context - 1) & (s.starts + low >= 1)]
            lows.append(low)
            spans.append(len(s.tokens) - context - 1)
            starts_low.append(sum(start_counts))
            start_counts.append(len(good))
            starts.append(good + low)
            low += len(s.tokens)
        as_double = lambda v: torch.tensor(v, dtype=torch.float64, device=device)
        self.lows, self.spans = as_double(lows), as_double(spans)
        self.starts = torch.from_numpy(np.concatenate(starts)).to(device)
        self.starts_low, self.start_counts = as_double(starts_low), as_double(start_counts)
        self.weights = as_double([s.weight for s in streams])
        self.late_weights = as_double([s.late_weight for s in streams])

    def __call__(self, step):
        torch = self.torch
        g = torch.Generator(device=self.device).manual_seed(self.seed * 1_000_003 + step)
        draw = lambda: torch.rand(self.batch, generator=g, dtype=torch.float64, device=self.device)
        source = torch.multinomial(self.late_weights if step >= self.late_step else self.weights, self.batch, replacement=True, generator=g)
        anywhere = (self.lows[source] + draw() * self.spans[source]).long()
        paragraph = self.starts[(self.starts_low[source] + draw() * self.start_counts[source]).long()] - 1
        begin = (draw() < self.at_start) & (self.start_counts[source] > 0)
        first = torch.where(begin, paragraph, anywhere)
        window = self.tokens[first[:, None] + torch.arange(self.context + 1, device=self.device)].long()
        window[:, 0] = torch.where(begin, self.bos, window[:, 0])
        return window[:, :-1].contiguous(), window[:, 1:].contiguous()


# Held-out measure -----------------------------------------------------------------------------------------------------


def scored_windows(arrays, bos, context, stride):
    """Windows that score every token of every document once: BOS + document, then windows that overlap by
    context - stride tokens. Returns inputs, targets, mask (all [n, context])."""
    inputs, targets, masks = [], [], []
    for a in arrays:
        ids = np.concatenate([[bos], a.astype(np.int64)])
        scored = 1  # position 0 is BOS: conditioned on, never scored
        begin = 0
        while scored < len(ids):
            end = min(begin + context, len(ids) - 1)
            x, y = ids[begin:end], ids[begin + 1 : end + 1]
            mask = np.arange(begin + 1, end + 1) >= scored
            pad = context - len(x)
            inputs.append(np.pad(x, (0, pad)))
            targets.append(np.pad(y, (0, pad)))
            masks.append(np.pad(mask, (0, pad)))
            scored = end + 1
            begin += stride
    return np.stack(inputs), np.stack(targets), np.stack(masks)
