"""Turns a finished run into files: GGUF, tokenizer.json, reference.json, curve.svg and the model card.

    python models/export.py build/microtome-tiny --data ../shared/corpora --to models

Every figure in the card comes from the GGUF file itself: it is read back, dequantised, and run in float32.
"""

import argparse
import hashlib
import json
import os
import time

import torch

import gguf
from curve import draw
from data import END, load_tokenizer
from llama import ARCHITECTURES
from measure import bits_per_byte, heldout_sets

PROMPTS = [
    "Once upon a time, there was a little",
    "“I do not understand you,” said the",
    "It was a dark and stormy night; the rain fell in",
    "The captain of the ship looked at the sea and",
    "Caf\u00e9 na\u00efve \u2014 42 \U0001f52c",
]
SAMPLE_PROMPTS = ["Once upon a time, there was a", "The old man opened the door and", "“My dear sir,” said the lawyer,"]


def write_gguf(path, config, model, tokenizer):
    spec = json.loads(tokenizer.to_str())
    ids = tokenizer.get_vocab(with_added_tokens=True)
    tokens = [t for t, _ in sorted(ids.items(), key=lambda kv: kv[1])]
    if sorted(ids.values()) != list(range(len(ids))):
        raise ValueError("the tokenizer's ids have holes")
    special = {t["content"] for t in spec["added_tokens"]}
    merges = [m if isinstance(m, str) else " ".join(m) for m in spec["model"]["merges"]]
    end = tokenizer.token_to_id(END)
    metadata = {
        "general.architecture": model.architecture,
        "general.name": config["name"],
        "general.license": config["license"],
        "general.file_type": 7,
        "general.quantization_version": 2,
        **model.gguf_metadata(),
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [3 if t in special else 1 for t in tokens],
        "tokenizer.ggml.merges": merges,
        "tokenizer.ggml.bos_token_id": end,
        "tokenizer.ggml.eos_token_id": end,
        "tokenizer.ggml.add_bos_token": True,
    }
    tensors = [(n, p.detach().numpy(), gguf.Q8_0 if p.ndim == 2 else gguf.F32) for n, p in model.gguf_tensors()]
    gguf.write(path, metadata, tensors)


def load_gguf(path):
    """The model of a GGUF file, dequantised, in float32."""
    metadata, tensors = gguf.read(path)
    kind = ARCHITECTURES[metadata["general.architecture"]]
    model = kind(kind.config_from_gguf(metadata), len(metadata["tokenizer.ggml.tokens"]))
    names = dict(model.gguf_tensors())
    if set(names) != set(tensors):
        raise ValueError(f"{path}: tensors differ from the architecture's: {sorted(set(names) ^ set(tensors))}")
    with torch.no_grad():
        for name, p in names.items():
            p.copy_(torch.from_numpy(tensors[name]))
    return model.eval(), metadata


@torch.no_grad()
def greedy(model, ids, count):
    ids, margin = list(ids), float("inf")
    for _ in range(count):
        top = model(torch.tensor([ids]))[0, -1].topk(2)
        margin = min(margin, (top.values[0] - top.values[1]).item())
        ids.append(top.indices[0].item())
    return ids[-count:], margin


@torch.no_grad()
def sample(model, tokenizer, prompt, bos, seed, count=120, temperature=0.7, top_p=0.9):
    g = torch.Generator().manual_seed(seed)
    ids = [bos] + tokenizer.encode(prompt, add_special_tokens=False).ids
    begin = len(ids)
    while len(ids) < min(begin + count, model.config["context"]):
        p, order = torch.softmax(model(torch.tensor([ids]))[0, -1] / temperature, -1).sort(descending=True)
        p[p.cumsum(0) - p > top_p] = 0
        token = order[torch.multinomial(p, 1, generator=g)].item()
        if token == bos:
            break
        ids.append(token)
    return prompt + "|" + tokenizer.decode(ids[begin:])


@torch.no_grad()
def reference(model, tokenizer, name, digest, bos):
    cases = []
    for prompt in PROMPTS:
        ids = [bos] + tokenizer.encode(prompt, add_special_tokens=False).ids
        logits = model(torch.tensor([ids]))[0].double()
        nll = torch.log_softmax(logits[:-1], -1).gather(-1, torch.tensor(ids[1:])[:, None])[:, 0]
        tokens, margin = greedy(model, ids, 40)
        cases.append({
            "prompt": prompt, "ids": ids, "greedy": tokens, "greedy_text": tokenizer.decode(tokens),
            "greedy_smallest_margin": round(margin, 6), "log_probs": [round(v, 6) for v in nll.tolist()],
            "last_logits": [round(v, 5) for v in logits[-1].tolist()],
        })
    return {
        "model": name, "sha256": digest, "computed": f"PyTorch {torch.__version__}, float32, weights dequantised from Q8_0",
        "note": "ids begin with BOS; log_probs[i] = ln p(ids[i+1] | ids[..i]); greedy = 40 arg-max tokens after ids; "
                "greedy_smallest_margin = least gap between the two largest logits on that path",
        "cases": cases,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run", help="output folder of train.py")
    parser.add_argument("--history", action="append", default=[], help="log.json of the runs before this one, in order")
    parser.add_argument("--data", default="../shared/corpora")
    parser.add_argument("--to", default="models")
    parser.add_argument("--stride", type=int, default=256)
    args = parser.parse_args()
    with open(os.path.join(args.run, "log.json"), encoding="utf-8") as f:
        log = json.load(f)
    logs = [json.load(open(p, encoding="utf-8")) for p in args.history] + [log]
    config, name = log["config"], log["config"]["name"]
    target = lambda suffix: os.path.join(args.to, name + suffix)
    tokenizer = load_tokenizer(os.path.join(args.run, "tokenizer.json"))
    bos, context = tokenizer.token_to_id(END), config["model"]["context"]
    trained = ARCHITECTURES[config["model"]["architecture"]](config["model"], tokenizer.get_vocab_size())
    trained.load_state_dict(torch.load(os.path.join(args.run, "weights.pt"), weights_only=True))
    write_gguf(target(".gguf"), config, trained, tokenizer)
    tokenizer.save(target(".tokenizer.json"), pretty=False)
    with open(target(".gguf"), "rb") as f:
        data = f.read()
    digest = hashlib.sha256(data).hexdigest()
    model, metadata = load_gguf(target(".gguf"))
    print(f"{target('.gguf')}: {len(data)} bytes, sha256 {digest}", flush=True)

    with open(target(".reference.json"), "w", encoding="utf-8") as f:
        json.dump(reference(model, tokenizer, name + ".gguf", digest, bos), f, separators=(",", ":"), ensure_ascii=False)
        f.write("\n")

    figures = {}
    for kind, m in (("trained (float32)", trained), ("GGUF (Q8_0)", model)):  # a part of each text: the cost of rounding
        for s, (arrays, n) in heldout_sets(config, args.data, tokenizer, 60000).items():
            figures.setdefault(s, {})[kind + ", part"] = bits_per_byte(m, arrays, n, bos, context, args.stride, "cpu", batch=16)
    for s, (arrays, n) in heldout_sets(config, args.data, tokenizer).items():
        began = time.time()
        figures[s]["GGUF (Q8_0)"] = bits_per_byte(model, arrays, n, bos, context, args.stride, "cpu", batch=16)
        figures[s]["bytes"], figures[s]["bytes per token"] = n, n / sum(map(len, arrays))
        print(s, figures[s], f"{time.time() - began:.0f} s", flush=True)

    offset, curves = 0, {"training mix": []}
    for one in logs:
        per_step = one["config"]["train"]["batch"] * one["config"]["model"]["context"] / 1e6
        curves["training mix"] += [(offset + r["step"] * per_step, r["bits_per_byte"]) for r in one["curve"]]
        for r in one["heldout"]:
            for key in ("books", "stories"):
                curves.setdefault("held-out " + key, []).append((offset + r["step"] * per_step, r[key]))
        offset += one["tokens"] / 1e6
    draw(target(".svg"), f"{name}: bits per byte during training", list(curves.items()), "millions of tokens seen")

    metrics = {
        "name": name, "license": config["license"], "sha256": digest, "file_bytes": len(data), "parameters": log["parameters"],
        "heldout": figures, "model": config["model"], "curves": {k: [[round(x, 1), round(y, 4)] for x, y in v] for k, v in curves.items()},
        "stages": [
            {"steps": one["steps_done"], "tokens": one["tokens"], "seconds": round(one["seconds"]), "device": one["device"],
             "torch": one["torch"], "sources": one["sources"], "train": one["config"]["train"]} for one in logs
        ],
        "samples": [sample(model, tokenizer, p, bos, 7 + i) for i, p in enumerate(SAMPLE_PROMPTS)],
    }
    with open(target(".metrics.json"), "w", encoding="utf-8") as f:
        json.dump(metrics, f, indent=None, separators=(",", ":"), ensure_ascii=False)
        f.write("\n")
    for s in metrics["samples"]:
        print("---\n" + s)


if __name__ == "__main__":
    main()
