"""Trains one model of the family from a JSON configuration.

    python models/train.py models/configs/microtome-tiny.json --data ../shared/corpora --out build/microtome-tiny

The vocabulary comes from `vocabularies.py`. checkpoint.pt is written now and then and when --max-seconds are over; a new
call resumes there. What ends whole writes weights.pt and log.json (and weights-STEP.pt for every step of train.snapshots); `export.py`
turns them into GGUF files and a card. Any entry of the configuration can be overridden: --set train.steps=100.

The same configuration, seed and hardware give the same windows in the same order; sums on a GPU are only reproducible
up to its kernels' summation order.
"""

import argparse
import hashlib
import json
import math
import os
import time

import numpy as np
import torch

from architectures import ARCHITECTURES
from data import Batches, Stream, documents_of
from measure import heldout_sets, scores
from optim import Optimizer, schedule
from vocabularies import MASK, SPECIAL, Vocabulary
from words import Words


FIT_FROM, FIT_AT = 60, 160
WEIGHTS = ("weight", "late_weight", "tokenizer_repeat")  # of a source: what does not change its tokens


def merged(base, changes):
    return {**base, **{k: merged(base[k], v) if isinstance(v, dict) and isinstance(base.get(k), dict) else v for k, v in changes.items()}}


def load_config(path, overrides):
    """A configuration may name a "base" beside it and give only what differs."""
    with open(path, encoding="utf-8") as f:
        config = json.load(f)
    if "base" in config:
        config = merged(load_config(os.path.join(os.path.dirname(path), config.pop("base")), []), config)
    for item in overrides:
        key, _, value = item.partition("=")
        node, *_ = [config]
        *path_parts, last = key.split(".")
        for part in path_parts:
            node = node[int(part)] if isinstance(node, list) else node[part]
        if isinstance(node, list):
            last = int(last)
        elif last not in node:
            raise SystemExit(f"--set {item}: the configuration has no entry {key}")
        try:
            node[last] = json.loads(value)
        except json.JSONDecodeError:
            node[last] = value
    return config


def get_streams(config, folder, vocabulary, cache):
    """Token streams of the training sources. Encoding takes longer than reading: the result is kept in `cache`, under a
    digest of the vocabulary and of the source's entry (its weight aside)."""
    streams, dropout = [], config.get("dropout") or {"p": 0.0, "copies": 1, "clean": 1}
    for source in config["data"]["sources"]:
        began = time.time()
        entry = json.dumps({k: v for k, v in source.items() if k not in WEIGHTS} | dropout, sort_keys=True)
        path = os.path.join(cache, f"tokens-{hashlib.sha256(vocabulary.json + entry.encode()).hexdigest()[:16]}.npz")
        if os.path.exists(path):
            with np.load(path) as saved:
                arrays, n_bytes = np.split(saved["tokens"], saved["cuts"]), int(saved["bytes"])
        else:
            documents = documents_of(folder, source)
            n_bytes = sum(len(d.text.encode()) for d in documents)
            if vocabulary.by_words:
                key = json.dumps({k: v for k, v in source.items() if k not in WEIGHTS}, sort_keys=True)
                words = Words.cached(key, cache, lambda: [d.text for d in documents])
                arrays = [a for c in range(dropout["copies"]) for a in words.encode(vocabulary, dropout["p"] if c >= dropout["clean"] else 0.0, c)]
            else:
                arrays = vocabulary.encode_documents(documents)
            n_bytes *= dropout["copies"]
            np.savez(path + f".{os.getpid()}.npz", tokens=np.concatenate(arrays), cuts=np.cumsum([len(a) for a in arrays])[:-1], bytes=n_bytes)
            os.replace(path + f".{os.getpid()}.npz", path)
        stream = Stream(source, arrays, vocabulary.end, vocabulary.newlines)
        stream.bytes, stream.copies = n_bytes, dropout["copies"]
        streams.append(stream)
        print(
            f"source {stream.name}: {len(arrays)} documents, {stream.bytes} bytes, {len(stream.tokens)} tokens, "
            f"{stream.bytes / len(stream.tokens):.3f} bytes/token, {len(stream.starts)} paragraphs, {time.time() - began:.0f} s",
            flush=True,
        )
    return streams


def plan(t, context, bytes_per_token):
    """Batch and steps from the budget in bytes, so that models with different vocabularies see the same text in the same
    number of steps."""
    t["batch"] = max(1, round(t["batch_bytes"] / (bytes_per_token * context)))
    t.setdefault("steps", round(t["budget_bytes"] / (t["batch"] * context * bytes_per_token)))
    t.setdefault("stop_step", t["steps"])


def mask_tokens(ids, vocabulary, share, seed, step):
    """BERT's corruption: of the chosen positions 80% become MASK, 10% a random token, 10% stay."""
    g = torch.Generator(device=ids.device).manual_seed(seed * 1_000_003 + step + 500_000)
    draw = lambda: torch.rand(ids.shape, generator=g, device=ids.device)
    chosen, fate = (draw() < share) & (ids != vocabulary.end), draw()
    random = torch.randint(len(SPECIAL), vocabulary.size, ids.shape, generator=g, device=ids.device)
    shown = torch.where(chosen & (fate < 0.8), vocabulary.ids[MASK], ids)
    return torch.where(chosen & (fate >= 0.9), random, shown), chosen


def save_atomically(value, path):
    torch.save(value, path + ".tmp")
    os.replace(path + ".tmp", path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("config")
    parser.add_argument("--data", default="../shared/corpora", help="folder of the corpora")
    parser.add_argument("--out", required=True, help="folder for the results")
    parser.add_argument("--cache", help="folder for encoded text, which models with one vocabulary share (default: --out)")
    parser.add_argument("--vocabularies", default="build/vocabularies", help="folder that vocabularies.py filled")
    parser.add_argument("--start-from", help="weights.pt to start from instead of random weights (fresh optimizer state)")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--max-seconds", type=float, default=1e9, help="stop cleanly (checkpoint, weights) after this long")
    parser.add_argument("--fit-seconds", type=float, help="shorten the schedule, once the speed is known, to end in this time")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override an entry of the configuration")
    args = parser.parse_args()
    config = load_config(args.config, args.set)
    os.makedirs(args.out, exist_ok=True)
    vocabulary = Vocabulary(os.path.join(args.vocabularies, config["tokenizer"] + ".json"))
    t, device = config["train"], args.device
    cuda = device.startswith("cuda")
    torch.manual_seed(t["seed"])
    torch.set_float32_matmul_precision("high")
    model = ARCHITECTURES[config["model"]["architecture"]](config["model"], vocabulary.size).to(device)
    if args.start_from:
        model.load_state_dict(torch.load(args.start_from, map_location=device, weights_only=True))
    n_parameters = sum(p.numel() for p in model.parameters())
    print(f"{config['name']}: {n_parameters} parameters on {torch.cuda.get_device_name() if cuda else device}, torch {torch.__version__}", flush=True)
    streams = get_streams(config, args.data, vocabulary, args.cache or args.out)
    context = config["model"]["context"]
    # Tokens of different sources stand for different byte counts: the mix's own ratio counts.
    weight, late_weight = sum(s.weight for s in streams), sum(s.late_weight for s in streams)
    bytes_per_token = sum(s.weight / weight * s.bytes / len(s.tokens) for s in streams)
    plan(t, context, bytes_per_token)
    late_step = round(t["steps"] * (1 - t["late_part"]))
    batches = Batches(streams, context, t["batch"], t["at_start"], late_step, vocabulary.end, t["seed"], device)
    held = heldout_sets(config, args.data, vocabulary, t["eval_bytes"])
    optimizer = Optimizer(model, t)

    masked = getattr(model, "masked", False)

    def loss_of(ids, targets, chosen=None):
        logits = model(ids).float()
        log_z = logits.logsumexp(-1)
        nll = log_z - logits.gather(-1, targets[..., None])[..., 0]
        nll = nll.mean() if chosen is None else (nll * chosen).sum() / chosen.sum()
        return nll, nll + t["z_loss"] * log_z.pow(2).mean()

    step_loss = torch.compile(loss_of, dynamic=False) if t["compile"] else loss_of

    log = {"curve": [], "heldout": [], "seconds": 0.0, "parameters": n_parameters}
    first = 0
    checkpoint = os.path.join(args.out, "checkpoint.pt")
    if os.path.exists(checkpoint):
        saved = torch.load(checkpoint, map_location=device, weights_only=True)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        first, log = saved["step"], saved["log"]
        t["steps"] = t["stop_step"] = log.get("steps", t["steps"])  # as fitted before the interruption
        print(f"resumed at step {first}", flush=True)

    def checkpoint_at(step):
        save_atomically({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step, "log": log}, checkpoint)

    def evaluate(step):
        row = {"step": step}
        model.eval()
        for name, (arrays, n_bytes) in held.items():
            row |= {k: v for k, v in scores(model, vocabulary, name, arrays, n_bytes, context, context, device, autocast=True).items() if v is not None}
        model.train()
        log["heldout"].append(row)
        return " ".join(f"{k} {v:.4f}" for k, v in row.items() if k != "step")

    def snapshot(step):
        save_atomically({k: v.float().cpu() for k, v in model.state_dict().items()}, os.path.join(args.out, f"weights-{step}.pt"))

    began, base, running, seen = time.time(), log["seconds"], torch.zeros((), device=device), 0
    step, last = first, min(t["steps"], t["stop_step"])  # stop_step ends a run before its schedule ends
    while step < last:
        if step in t.get("snapshots", []):
            snapshot(step)
        ids, targets = batches(step)
        extra = ()
        if masked:
            targets = ids
            ids, chosen = mask_tokens(ids, vocabulary, t["mask"], t["seed"], step)
            extra = (chosen,)
        with torch.autocast(device.split(":")[0], torch.bfloat16):
            nll, loss = step_loss(ids, targets, *extra)
        loss.backward()
        if t["clip"]:
            torch.nn.utils.clip_grad_norm_(model.parameters(), t["clip"])
        optimizer.step(schedule(step, t))
        optimizer.zero_grad()
        running += nll.detach()
        seen += 1
        step += 1
        if args.fit_seconds and step in (FIT_FROM, FIT_AT):  # both after compilation
            if cuda:
                torch.cuda.synchronize()
            if step == FIT_FROM:
                fit_from = time.time()
            else:
                per_step = (time.time() - fit_from) / (FIT_AT - FIT_FROM)
                fits = step + int((args.fit_seconds - (time.time() - began)) / per_step)
                if fits < t["steps"]:
                    print(f"{per_step * 1000:.1f} ms a step: {fits} steps instead of {t['steps']}", flush=True)
                    t["steps"] = last = log["steps"] = max(fits, step + 1)
                    batches.late_step = late_step = round(t["steps"] * (1 - t["late_part"]))
        if step % t["log_every"] == 0 or step == last:
            value = running.item() / seen
            if not math.isfinite(value):
                raise SystemExit(f"step {step}: the loss is {value}")
            log["seconds"] = base + time.time() - began
            log["curve"].append({"step": step, "nll": value, "bits_per_byte": value / math.log(2) / bytes_per_token})
            speed = (step - first) * t["batch"] * context / (time.time() - began)
            print(f"step {step} loss {value:.4f} lr x{schedule(step - 1, t):.3f} {speed / 1e6:.2f} Mtok/s {log['seconds']:.0f} s", flush=True)
            running.zero_()
            seen = 0
            if log["seconds"] - base > args.max_seconds:
                print(f"stopping at step {step}: {args.max_seconds:.0f} s are over", flush=True)
                break
        if step % t["eval_every"] == 0 and step < last:
            print(f"step {step} held out: {evaluate(step)}", flush=True)
        if step % t["checkpoint_every"] == 0 and step < last:
            checkpoint_at(step)

    checkpoint_at(step)
    if step < last:
        return
    if step in t.get("snapshots", []):
        snapshot(step)
    print(f"step {step} held out (first {t['eval_bytes']} bytes): {evaluate(step)}", flush=True)
    log["steps_done"] = step
    log["tokens"] = step * t["batch"] * context
    log["torch"], log["device"] = torch.__version__, torch.cuda.get_device_name() if cuda else "CPU"
    log["bytes_per_token"] = bytes_per_token
    early, late = min(step, late_step), max(0, step - late_step)
    log["sources"] = [
        {"name": s.name, "bytes": s.bytes, "tokens": len(s.tokens), "copies": s.copies,
         "epochs": s.copies * t["batch"] * context * (early * s.weight / weight + late * s.late_weight / late_weight) / len(s.tokens)}
        for s in streams
    ]
    for s in log["sources"]:
        print(f"source {s['name']}: {s['epochs']:.1f} epochs", flush=True)
    save_atomically({k: v.float().cpu() for k, v in model.state_dict().items()}, os.path.join(args.out, "weights.pt"))
    with open(os.path.join(args.out, "log.json"), "w", encoding="utf-8") as f:
        json.dump({"config": config, **log}, f, indent=1)


if __name__ == "__main__":
    main()
