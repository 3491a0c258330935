"""Bits per byte on held-out documents: the one figure that compares models with different vocabularies."""

import math

import torch

from data import documents_of, encode_documents, scored_windows


def heldout_sets(config, folder, tokenizer, limit_bytes=None):
    """{name: (arrays of token ids, bytes)} for every held-out source."""
    sets = {}
    for source in config["data"]["heldout"]:
        documents = documents_of(folder, source)
        if limit_bytes:
            share = limit_bytes // len(documents) + 1
            for d in documents:
                d.text = d.text[:share]
        sets[source["name"]] = (encode_documents(tokenizer, documents), sum(len(d.text.encode()) for d in documents))
    return sets


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
