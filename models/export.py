"""Turns a finished run of train.py into files:

    python models/export.py build/models/twin-bpe-4k --data ../shared/corpora --to models/family

NAME.gguf (Q8_0; where the configuration names another type, `microtome quantize` makes it so if Node is there),
NAME.reference.json and NAME.metrics.json, from which card.py writes the card and draws the training curve. Every figure is
of the file itself: it is read back, dequantised, and run in float32. Of a run with snapshots every snapshot becomes
NAME-STEP.gguf.
"""

import argparse
import hashlib
import json
import os
import shutil
import time

import torch

import gguf
from architectures import ARCHITECTURES
from measure import heldout_sets, scores, sums_right
from vocabularies import MASK, PAD, Vocabulary, microtome

PROMPTS = [
    "Once upon a time, there was a little",
    "\u201cI do not understand you,\u201d said the",
    "It was a dark and stormy night; the rain fell in",
]
SUM_PROMPTS = ["12+30=", "48231-907=", "123456789+987654321="]
SAMPLE_PROMPTS = ["Once upon a time, there was a", "The old man opened the door and", "\u201cMy dear sir,\u201d said the lawyer,"]


def tokenizer_metadata(vocabulary):
    """BPE as llama.cpp writes it; any other vocabulary as its whole tokenizer.json, which the GGUF specification provides for."""
    spec, end = vocabulary.spec, vocabulary.end
    common = {
        "tokenizer.ggml.tokens": vocabulary.pieces,
        "tokenizer.ggml.token_type": [3 if t in vocabulary.special else 1 for t in vocabulary.pieces],
        "tokenizer.ggml.bos_token_id": end,
        "tokenizer.ggml.eos_token_id": end,
        "tokenizer.ggml.padding_token_id": vocabulary.ids[PAD],
        "tokenizer.ggml.mask_token_id": vocabulary.ids[MASK],
        "tokenizer.ggml.add_bos_token": True,
    }
    plain = spec["model"]["type"] == "BPE" and spec["pre_tokenizer"]["type"] == "ByteLevel"
    if not plain:
        return {**common, "tokenizer.huggingface.json": vocabulary.json.decode()}
    merges = [m if isinstance(m, str) else " ".join(m) for m in spec["model"]["merges"]]
    return {**common, "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "gpt-2", "tokenizer.ggml.merges": merges}


def write_gguf(path, config, model, vocabulary):
    metadata = {
        "general.architecture": model.architecture,
        "general.name": config["name"],
        "general.license": config["license"],
        "general.file_type": 7,
        "general.quantization_version": 2,
        **model.gguf_metadata(),
        **tokenizer_metadata(vocabulary),
    }
    keep = getattr(model, "keep_float", ())
    tensors = [
        (n, p.detach().numpy(), gguf.Q8_0 if p.ndim == 2 and p.shape[1] % 32 == 0 and not any(k in n for k in keep) else gguf.F32)
        for n, p in model.gguf_tensors()
    ]
    gguf.write(path, metadata, tensors)


def sha256(path):
    with open(path, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


@torch.no_grad()
def greedy(model, ids, count):
    ids, margin, device = list(ids), float("inf"), next(model.parameters()).device
    for _ in range(count):
        top = model(torch.tensor([ids], device=device))[0, -1].topk(2)
        margin = min(margin, (top.values[0] - top.values[1]).item())
        ids.append(top.indices[0].item())
    return ids[-count:], margin


@torch.no_grad()
def sample(model, vocabulary, prompt, seed, count=140, temperature=0.7, top_p=0.9):
    g = torch.Generator().manual_seed(seed)
    ids = [vocabulary.end] + vocabulary.encode(prompt)
    begin, device = len(ids), next(model.parameters()).device
    while len(ids) < min(begin + count, model.config["context"]):
        p, order = torch.softmax(model(torch.tensor([ids], device=device))[0, -1].cpu() / temperature, -1).sort(descending=True)
        p[p.cumsum(0) - p > top_p] = 0
        token = order[torch.multinomial(p, 1, generator=g)].item()
        if token == vocabulary.end:
            break
        ids.append(token)
    return prompt + "|" + vocabulary.decode(ids[begin:])


@torch.no_grad()
def reference(model, vocabulary, name, digest, prompts):
    cases, device = [], next(model.parameters()).device
    for prompt in prompts:
        ids = [vocabulary.end] + vocabulary.encode(prompt)
        if getattr(model, "masked", False):  # mask the last token but one, and look at that place
            at = len(ids) - 2
            ids[at] = vocabulary.ids[MASK]
            logits = model(torch.tensor([ids], device=device))[0].double().cpu()
            cases.append({"prompt": prompt, "ids": ids, "masked_at": at, "best": logits[at].argmax().item(), "logits_at": [round(v, 4) for v in logits[at].tolist()]})
            continue
        logits = model(torch.tensor([ids], device=device))[0].double().cpu()
        nll = torch.log_softmax(logits[:-1], -1).gather(-1, torch.tensor(ids[1:])[:, None])[:, 0]
        tokens, margin = greedy(model, ids, 30)
        cases.append({
            "prompt": prompt, "ids": ids, "greedy": tokens, "greedy_text": vocabulary.decode(tokens),
            "greedy_smallest_margin": round(margin, 6), "log_probs": [round(v, 6) for v in nll.tolist()],
            "last_logits": [round(v, 4) for v in logits[-1].tolist()],
        })
    return {
        "model": name, "sha256": digest, "computed": f"PyTorch {torch.__version__}, float32, weights dequantised",
        "note": "ids begin with BOS; log_probs[i] = ln p(ids[i+1] | ids[..i]); greedy = 30 arg-max tokens after ids; "
                "greedy_smallest_margin = least gap between the two largest logits on that path",
        "cases": cases,
    }


def curves_of(log):
    per_step = log["config"]["train"]["batch"] * log["config"]["model"]["context"] / 1e6
    masked = log["config"]["model"]["architecture"] == "bert"
    curves = {"training mix": [(r["step"] * per_step, r["nll" if masked else "bits_per_byte"]) for r in log["curve"]]}
    for r in log["heldout"]:
        for key in ("books", "stories", "sums"):
            if key in r:
                curves.setdefault("held-out " + key, []).append((r["step"] * per_step, r[key]))
    return curves


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run", help="output folder of train.py")
    parser.add_argument("--data", default="../shared/corpora")
    parser.add_argument("--vocabularies", default="build/vocabularies")
    parser.add_argument("--to", default="models/family")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args()
    torch.set_float32_matmul_precision("highest")
    with open(os.path.join(args.run, "log.json"), encoding="utf-8") as f:
        log = json.load(f)
    config, name, device = log["config"], log["config"]["name"], args.device
    os.makedirs(args.to, exist_ok=True)
    target = lambda suffix: os.path.join(args.to, name + suffix)
    vocabulary = Vocabulary(os.path.join(args.vocabularies, config["tokenizer"] + ".json"))
    context, snapshots = config["model"]["context"], config["train"].get("snapshots", [])

    def trained(file):
        model = ARCHITECTURES[config["model"]["architecture"]](config["model"], vocabulary.size)
        model.load_state_dict(torch.load(os.path.join(args.run, file), weights_only=True, map_location="cpu"))
        return model.eval()

    for step in snapshots:
        write_gguf(target(f"-{step}.gguf"), config, trained(f"weights-{step}.pt"), vocabulary)
    model = trained("weights.pt")
    masked = getattr(model, "masked", False)
    path = target(f"-{snapshots[-1]}.gguf") if snapshots else target(".gguf")
    if not snapshots:
        write_gguf(path, config, model, vocabulary)
    if config.get("quantize") and shutil.which("node"):
        microtome("quantize", path, path + ".tmp", "--type", config["quantize"])
        os.replace(path + ".tmp", path)
    model.load_gguf(gguf.read(path)[1])
    digest, size = sha256(path), os.path.getsize(path)
    print(f"{path}: {size} bytes, sha256 {digest}", flush=True)
    model.to(device)
    sums = config["data"]["heldout"][0]["name"] == "sums"
    with open(target(".reference.json"), "w", encoding="utf-8") as f:
        json.dump(reference(model, vocabulary, os.path.basename(path), digest, SUM_PROMPTS if sums else PROMPTS), f, separators=(",", ":"), ensure_ascii=False)
        f.write("\n")

    figures = {}
    for s, (arrays, n) in heldout_sets(config, args.data, vocabulary).items():
        began = time.time()
        figures[s] = {"bytes": n, "bytes per token": n / sum(map(len, arrays)), **scores(model, vocabulary, s, arrays, n, context, context // 2, device)}
        print(s, figures[s], f"{time.time() - began:.0f} s", flush=True)
    curves = curves_of(log)
    metrics = {
        "name": name, "about": config.get("about", ""), "license": config["license"], "file": os.path.basename(path), "sha256": digest, "file_bytes": size,
        "parameters": log["parameters"], "vocabulary": config["tokenizer"], "dropout": config.get("dropout"), "heldout": figures, "model": config["model"],
        "curves": {k: [[round(x, 1), round(y, 4)] for x, y in v] for k, v in curves.items()},
        "steps": log["steps_done"], "tokens": log["tokens"], "seconds": round(log["seconds"]), "device": log["device"], "torch": log["torch"],
        "bytes_per_token": log["bytes_per_token"], "sources": log["sources"], "train": config["train"],
    }
    if sums:
        metrics["right"] = sums_right(model, vocabulary, device)
        print(metrics["right"])
    elif not masked:
        metrics["samples"] = [sample(model, vocabulary, p, 7 + i) for i, p in enumerate(SAMPLE_PROMPTS)]
        print("\n---\n".join(metrics["samples"]))
    with open(target(".metrics.json"), "w", encoding="utf-8") as f:
        json.dump(metrics, f, indent=None, separators=(",", ":"), ensure_ascii=False)
        f.write("\n")


if __name__ == "__main__":
    main()
