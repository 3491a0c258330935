"""Checks a GGUF file of the family against its reference.json with numpy alone (float64, one token position at a time):

    python models/check.py models/microtome-tiny.gguf

Written from the definition of the architecture, sharing no code with llama.py but the file reader, so that a mistake in
one shows in the other.
"""

import hashlib
import json
import sys

import numpy as np

import gguf


def rms(x, weight, eps):
    return x / np.sqrt(np.mean(x * x) + eps) * weight


def rope(head, position, base):
    """Rotates adjacent pairs (2m, 2m+1) by position * base^(-2m/size)."""
    out = np.empty_like(head)
    for m in range(len(head) // 2):
        angle = position * base ** (-2 * m / len(head))
        a, b = head[2 * m], head[2 * m + 1]
        out[2 * m] = a * np.cos(angle) - b * np.sin(angle)
        out[2 * m + 1] = a * np.sin(angle) + b * np.cos(angle)
    return out


def all_logits(meta, w, ids):
    n_layer, n_head, n_kv = (meta[f"llama.{k}"] for k in ("block_count", "attention.head_count", "attention.head_count_kv"))
    eps, base, d = meta["llama.attention.layer_norm_rms_epsilon"], meta["llama.rope.freq_base"], meta["llama.embedding_length"]
    size = d // n_head
    keys, values, out = [[] for _ in range(n_layer)], [[] for _ in range(n_layer)], []
    for position, token in enumerate(ids):
        x = w["token_embd.weight"][token]
        for i in range(n_layer):
            t = lambda name: w[f"blk.{i}.{name}.weight"]
            n = rms(x, t("attn_norm"), eps)
            q, k, v = (t(f"attn_{c}") @ n for c in "qkv")
            keys[i].append([rope(k[h * size : (h + 1) * size], position, base) for h in range(n_kv)])
            values[i].append(v.reshape(n_kv, size))
            mixed = []
            for h in range(n_head):
                g = h * n_kv // n_head
                r = rope(q[h * size : (h + 1) * size], position, base)
                s = np.array([r @ past[g] for past in keys[i]]) / np.sqrt(size)
                p = np.exp(s - s.max())
                mixed.append((p / p.sum()) @ np.array([past[g] for past in values[i]]))
            x = x + t("attn_output") @ np.concatenate(mixed)
            n = rms(x, t("ffn_norm"), eps)
            gate = t("ffn_gate") @ n
            x = x + t("ffn_down") @ (gate / (1 + np.exp(-gate)) * (t("ffn_up") @ n))
        out.append(w["token_embd.weight"] @ rms(x, w["output_norm.weight"], eps))
    return np.array(out)


def main():
    path = sys.argv[1]
    with open(path, "rb") as f:
        digest = hashlib.sha256(f.read()).hexdigest()
    with open(path.removesuffix(".gguf") + ".reference.json", encoding="utf-8") as f:
        reference = json.load(f)
    if digest != reference["sha256"]:
        raise SystemExit(f"{path}: sha256 {digest}, the reference is of {reference['sha256']}")
    meta, tensors = gguf.read(path)
    weights = {name: array.astype(np.float64) for name, array in tensors.items()}
    worst = 0.0
    for case in reference["cases"]:
        logits = all_logits(meta, weights, case["ids"] + case["greedy"][:-1])
        first = len(case["ids"]) - 1
        gap = np.abs(logits[first] - np.array(case["last_logits"])).max()
        log_p = logits - np.log(np.exp(logits - logits.max(1, keepdims=True)).sum(1, keepdims=True)) - logits.max(1, keepdims=True)
        gap_p = max(abs(log_p[i, t] - case["log_probs"][i]) for i, t in enumerate(case["ids"][1:]))
        worst = max(worst, gap, gap_p)
        same = logits[first:].argmax(1).tolist() == case["greedy"]
        print(f"{case['prompt']!r}: logits within {gap:.1e}, log-probabilities within {gap_p:.1e}, greedy {'equal' if same else 'DIFFERENT'}")
        if not same:
            raise SystemExit("greedy tokens differ")
    if worst > 1e-4:
        raise SystemExit(f"largest difference {worst}: more than float32 rounding")


if __name__ == "__main__":
    main()
