"""Documents as sequences of words, cut once for all vocabularies.

Every text vocabulary here cuts text by GPT-2's expression first and treats each piece (a "word") alone, so encoding a corpus
is a look-up: distinct words are encoded once, then every occurrence is replaced by its word's ids. BPE-dropout draws
CUTS encodings of each distinct word in advance; every occurrence takes one of them at random.
"""

import fcntl
import hashlib
import json
import multiprocessing
import os

import numpy as np

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
CUTS = 16


def cut(text):
    """The distinct words of a text, and the text as indices into them."""
    import regex

    lexicon = {}
    at = [lexicon.setdefault(w, len(lexicon)) for w in regex.findall(GPT2, text)]
    return list(lexicon), np.array(at, dtype=np.uint32)


class Words:
    """lexicon: distinct words; documents: one array of indices into it per document."""

    def __init__(self, lexicon, documents):
        self.lexicon, self.documents = lexicon, documents

    @classmethod
    def of(cls, texts):
        with multiprocessing.get_context("fork").Pool(min(len(texts), os.cpu_count())) as pool:
            lexicon, documents = {}, []
            for words, at in pool.imap(cut, texts, chunksize=1 + len(texts) // 400):
                ids = np.array([lexicon.setdefault(w, len(lexicon)) for w in words], dtype=np.uint32)
                documents.append(ids[at])
        return cls(list(lexicon), documents)

    @classmethod
    def cached(cls, key, folder, make_texts):
        """`of(make_texts())`, kept in `folder` under a digest of `key`; processes that ask at once wait for the first."""
        path = os.path.join(folder, f"words-{hashlib.sha256(key.encode()).hexdigest()[:16]}")
        with open(path + ".lock", "w", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not os.path.exists(path + ".npz"):
                words = cls.of(make_texts())
                with open(path + ".json", "w", encoding="utf-8") as f:
                    json.dump(words.lexicon, f)
                np.savez(path + ".part.npz", at=np.concatenate(words.documents), cuts=np.cumsum([len(d) for d in words.documents])[:-1])
                os.replace(path + ".part.npz", path + ".npz")
        with open(path + ".json", encoding="utf-8") as f:
            lexicon = json.load(f)
        with np.load(path + ".npz") as saved:
            return cls(lexicon, np.split(saved["at"], saved["cuts"]))

    def encode(self, vocabulary, dropout=0.0, seed=0):
        """One array of token ids (uint16) per document."""
        rng = np.random.default_rng(seed)
        tables = [vocabulary.encode_words(self.lexicon, dropout) for _ in range(CUTS if dropout else 1)]
        lengths = np.array([len(ids) for table in tables for ids in table], dtype=np.int64)
        tokens = np.fromiter((i for table in tables for ids in table for i in ids), dtype=np.uint16, count=int(lengths.sum()))
        starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
        out = []
        for at in self.documents:
            row = at.astype(np.int64)
            if dropout:
                row += rng.integers(0, CUTS, len(row)) * len(self.lexicon)
            n = lengths[row]
            ends = np.cumsum(n)
            within = np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - n, n)
            out.append(tokens[np.repeat(starts[row], n) + within])
        return out
