"""Held-out measures.

Text models: bits per byte, the one figure that compares models with different vocabularies. Masked models: the mean
negative log-likelihood (nats) and the share of right guesses at masked positions. Sums: the share of lines whose answer
greedy decoding gets wholly right, by the digits of the longer operand.
"""

import math

import numpy as np
import torch

from data import documents_of, scored_windows, sums


def heldout_sets(config, folder, vocabulary, limit_bytes=None):
    """{name: (arrays of token ids, bytes)} for every held-out source."""
    sets = {}
    for source in config["data"]["heldout"]:
        documents = documents_of(folder, source)
        if limit_bytes:
            share = limit_bytes // len(documents) + 1
            for d in documents:
                d.text = d.text[:share]
        if limit_bytes and vocabulary.words is not None:  # a cut may have made a word that the table lacks
            for d in documents:
                d.text = d.text[: d.text.rfind("\n") + 1] or d.text
        sets[source["name"]] = (vocabulary.encode_documents(documents), sum(len(d.text.encode()) for d in documents))
    return sets


def scores(model, vocabulary, name, arrays, n_bytes, context, stride, device, batch=64, autocast=False):
    """{key: figure} of one held-out set: `name` is bits per byte, or for masked models nats at masked positions."""
    if getattr(model, "masked", False):
        nats, right = masked_scores(model, vocabulary, arrays, context, device, batch)
        return {name: nats, name + " right": right}
    return {name: bits_per_byte(model, arrays, n_bytes, vocabulary.end, context, stride, device, batch, autocast)}


@torch.no_grad()
def bits_per_byte(model, arrays, n_bytes, bos, context, stride, device, batch=64, autocast=False):
    """-log2 p(text) / bytes. Each document follows BOS; every token is scored once, with at least context - stride
    tokens of history where the document has them."""
    inputs, targets, mask = (torch.from_numpy(a) for a in scored_windows(arrays, bos, context, stride))
    total = torch.zeros((), dtype=torch.float64, device=device)
    for i in range(0, len(inputs), batch):
        x, y, m = (a[i : i + batch].to(device) for a in (inputs, targets, mask))
        with torch.autocast(device.split(":")[0], torch.bfloat16, enabled=autocast):
            logits = model(x).float()
        nll = logits.logsumexp(-1) - logits.gather(-1, y[..., None])[..., 0]
        total += nll[m].sum(dtype=torch.float64)
    return total.item() / math.log(2) / n_bytes


@torch.no_grad()
def masked_scores(model, vocabulary, arrays, context, device, batch=64, every=7):
    """Positions 3, 10, 17 ... of every window of `context` tokens are masked (all by MASK). Returns (mean nats, share of right guesses)."""
    from vocabularies import MASK

    tokens = np.concatenate(arrays).astype(np.int64)
    windows = torch.from_numpy(tokens[: len(tokens) // context * context].reshape(-1, context))
    total, right, count = 0.0, 0, 0
    for i in range(0, len(windows), batch):
        y = windows[i : i + batch].to(device)
        x = y.clone()
        x[:, 3::every] = vocabulary.ids[MASK]
        log_p = model(x)[:, 3::every].float().log_softmax(-1)
        target = y[:, 3::every, None]
        total -= log_p.gather(-1, target).sum(dtype=torch.float64).item()
        right += (log_p.argmax(-1, keepdim=True) == target).sum().item()
        count += target.numel()
    return total / count, right / count


@torch.no_grad()
def sums_right(model, vocabulary, device, seed=3, count=9000, least=1, most=9):
    """{digits of the longer operand: share of lines answered wholly right by greedy decoding} on sums that the seed draws."""
    lines = sums(seed, count, least, most)
    by_shape = {}
    for line in lines:
        question, _, answer = line.partition("=")
        ids = [vocabulary.end] + vocabulary.encode(question + "=")
        by_shape.setdefault(len(ids), []).append((ids, answer, max(len(p) for p in question.replace("-", "+").split("+"))))
    newline, right, seen = vocabulary.encode("\n")[0], {}, {}
    for group in by_shape.values():
        for i in range(0, len(group), 512):
            part = group[i : i + 512]
            ids = torch.tensor([p[0] for p in part], device=device)
            start = ids.shape[1]
            for _ in range(12):
                ids = torch.cat([ids, model(ids)[:, -1].argmax(-1, keepdim=True)], 1)
            for row, (_, answer, digits) in zip(ids[:, start:].tolist(), part):
                said = row[: row.index(newline) + 1] if newline in row else row
                seen[digits] = seen.get(digits, 0) + 1
                right[digits] = right.get(digits, 0) + (vocabulary.decode(said) == answer)
    return {d: right[d] / seen[d] for d in sorted(seen)}
