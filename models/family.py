"""Makes the whole family: vocabularies, training, files, figures, cards.

    python models/family.py --data ../shared/corpora --work build/models [--only NAME,NAME]

Vocabularies, the engine's figures and the cards need Node and a built package; on a machine without Node (a GPU machine to
which the vocabularies were brought) it trains and exports alone, and the same command elsewhere does the rest.

What is already there is kept: finished models are skipped and interrupted ones go on, so the command can be repeated until
everything is done (`--until SECONDS` stops starting new work and ends running work cleanly in time). Several models train
at once, --lanes on every GPU.
"""

import argparse
import os
import queue
import shutil
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
FAMILY = [
    "flagship", "twin-byte", "twin-bpe-4k", "twin-bpe-1k", "twin-bpe-16k", "twin-unigram-4k", "twin-pathpiece-4k", "twin-dropout-4k",
    "twin-digits-ltr", "twin-digits-rtl", "encoder", "mamba-5m", "lstm-5m", "draft-1m", "born-attention-4l", "born-gpt2-4l",
]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", default="../shared/corpora")
    parser.add_argument("--work", default="build/models")
    parser.add_argument("--vocabularies", default="models/vocabularies")
    parser.add_argument("--to", default="models/family")
    parser.add_argument("--only", help="names, separated by commas, in the order in which they are started")
    parser.add_argument("--gpus", type=int, default=1)
    parser.add_argument("--lanes", type=int, default=2, help="models that train at once on one GPU")
    parser.add_argument("--until", type=float, default=1e9, help="seconds after which nothing new starts and running work is cut")
    parser.add_argument("--fit", action="append", default=[], metavar="NAME=SECONDS", help="shorten a model's schedule to end in this time")
    parser.add_argument("--on", action="append", default=[], metavar="NAME=GPU", help="train this model on this GPU")
    args = parser.parse_args()
    began = time.time()
    left = lambda: args.until - (time.time() - began)
    fit, pinned = (dict(v.split("=") for v in values) for values in (args.fit, args.on))
    names = args.only.split(",") if args.only else FAMILY
    os.makedirs(args.work, exist_ok=True)
    run = lambda command, log, **more: subprocess.run([sys.executable, *command], stdout=log, stderr=subprocess.STDOUT, check=False, **more).returncode

    if shutil.which("node"):
        subprocess.run([sys.executable, os.path.join(HERE, "vocabularies.py"), "--data", args.data, "--out", args.vocabularies], check=True)
    shared, own = queue.Queue(), [queue.Queue() for _ in range(args.gpus)]
    for name in names:
        (own[int(pinned[name])] if name in pinned else shared).put(name)
    failed = []

    def make(name, gpu):
        if os.path.exists(os.path.join(args.to, name + ".metrics.json")):
            return print(f"{name}: is there", flush=True)
        out, env = os.path.join(args.work, name), {**os.environ, "CUDA_VISIBLE_DEVICES": str(gpu)}
        os.makedirs(out, exist_ok=True)
        with open(os.path.join(out, "log.txt"), "ab") as log:
            if not os.path.exists(os.path.join(out, "log.json")):
                command = [os.path.join(HERE, "train.py"), os.path.join(HERE, "configs", name + ".json"), "--data", args.data, "--out", out,
                           "--vocabularies", args.vocabularies, "--cache", args.work, "--max-seconds", str(max(1, left() - 90))]
                command += ["--fit-seconds", fit[name]] if name in fit else []
                if run(command, log, env=env):
                    return failed.append(name)
            if not os.path.exists(os.path.join(out, "log.json")):
                return print(f"{name}: to be continued", flush=True)
            if run([os.path.join(HERE, "export.py"), out, "--data", args.data, "--vocabularies", args.vocabularies, "--to", args.to], log, env=env):
                return failed.append(name)
            print(f"{name}: done at {time.time() - began:.0f} s", flush=True)

    def lane(gpu):
        while left() > 100:
            for waiting in (own[gpu], shared):
                try:
                    name = waiting.get_nowait()
                    break
                except queue.Empty:
                    name = None
            if name is None:
                return
            make(name, gpu)

    threads = [threading.Thread(target=lane, args=(g,)) for g in range(args.gpus) for _ in range(args.lanes)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if shutil.which("node") and not failed and all(os.path.exists(os.path.join(args.to, n + ".metrics.json")) for n in FAMILY):
        subprocess.run(["node", os.path.join(HERE, "measure.mjs"), args.to, "--data", args.data], check=True)
        subprocess.run([sys.executable, os.path.join(HERE, "card.py"), args.to], check=True)
    for name in failed:
        print(f"{name} failed; the end of its log:")
        with open(os.path.join(args.work, name, "log.txt"), encoding="utf-8", errors="replace") as f:
            print("".join(f.readlines()[-25:]))
    raise SystemExit(bool(failed))


if __name__ == "__main__":
    main()
