"""Writes the family's cards and its table from the figures that export.py and measure.mjs left.

    python models/card.py models/family
"""

import json
import os
import sys

from curve import draw

ABOUT = {
    "flagship": "The largest model of the family: 26 million parameters. It knows words and manners of nineteenth-century prose and of simple stories, and hardly any facts.",
    "twin-byte": "The byte twin: 256 bytes and three special tokens. Beside the other twins it shows what cutting text into tokens changes.",
    "twin-bpe-1k": "Byte-level BPE with 1,024 tokens.",
    "twin-bpe-4k": "Byte-level BPE with 4,096 tokens; the draft model, the encoder, the Mamba, the LSTM and the flagship share this vocabulary.",
    "twin-bpe-16k": "Byte-level BPE with 16,384 tokens; four tenths of its parameters are embeddings.",
    "twin-unigram-4k": "Unigram (Kudo 2018) with 4,096 tokens over bytes, all 256 of them. The GGUF file carries its tokenizer.json whole, since GGUF's own keys know no byte-level Unigram.",
    "twin-pathpiece-4k": "PathPiece (Schmidt et al. 2024) with 4,096 tokens: every word is cut into as few tokens as the vocabulary allows.",
    "twin-dropout-4k": "The BPE 4k vocabulary, but trained on text cut by BPE-dropout (Provilkov et al. 2020; p = 0.1; sixteen cuts drawn of each distinct word) in two passes of three. Measured, as all, on text cut without dropout.",
    "twin-digits-ltr": "Sums and differences of numbers with one to nine digits; numbers are cut into groups of three digits from the left.",
    "twin-digits-rtl": "Sums and differences of numbers with one to nine digits; numbers are cut into groups of three digits from the right, as thousands are written (Singh and Strouse 2024).",
    "encoder": "A BERT-class encoder (masked language model). Its figures are not bits per byte: they are nats, and the share of right guesses, at every seventh token, masked.",
    "mamba-5m": "Mamba: no attention, a selective recurrence over a state of fixed size.",
    "lstm-5m": "Two LSTM layers with tied embeddings: how language models looked before attention.",
    "draft-1m": "A small model that shares the BPE 4k vocabulary: a draft for speculative decoding of the flagship or the BPE 4k twin.",
    "born-attention-4l": "Twelve moments in the training of a four-layer model with attention only (no feed-forward blocks, so every head can be read): bigrams, sinks and induction heads being born.",
    "born-gpt2-4l": "Twelve moments in the training of a four-layer GPT-2: the same as born-attention-4l, with feed-forward blocks.",
}
# What the samples on the card are like, by somebody who read them: to be written anew when a model is.
READ = {
    "flagship": "Each sentence is sound and follows the one before; over a paragraph it turns in circles (*I am going to stay here*, the toys, the cat), and what the lawyer says means nothing.",
    "mamba-5m": "Sentences hold, sense does not: Lily and Lily are scared, and the old man goes to the old man. The third sample circles round one word.",
    "lstm-5m": "The loosest of its size: sentences that begin well and end elsewhere (*a big tree with her pantry*, *the still was filled with the blossom of the morning*), nobody who stays in the scene.",
    "draft-1m": "Phrases, not sentences: one answer over and over (*I'll go to the window. I'll go*), then prose that only sounds like prose. Enough to guess the next easy token.",
    "twin-byte": "Short, since they are cut after the same number of tokens; words are spelled right, sentences hold, turns of speech follow one another without a subject.",
    "twin-bpe-1k": "Sentences are whole; what happens changes with each of them (an eye in the middle of a nose), and the lawyer's speech goes round in circles.",
    "twin-bpe-4k": "Dialogue keeps its form and says nothing: people agree to meet tomorrow, again and again. In the story Lily becomes two and then the dog's.",
    "twin-bpe-16k": "The story keeps to fish and pond and contradicts itself; the second sample loops on *glad you are come*; Sir Leicester is from a book that it was trained on.",
    "twin-unigram-4k": "Manners without matter: the speaker is quite sure of being sure. The story repeats its phrases and leaves its thread after two sentences.",
    "twin-pathpiece-4k": "Dialogue is well formed and circles (*he is not dead, but he is dead*); Lily speaks to herself; the last sentence falls apart.",
    "twin-dropout-4k": "The weakest of the 4k twins to read, too: *Sorry, mom* five times over, and sentences that bend away from their subject.",
}
ORDER = list(ABOUT)
TITLES = {"books": "four books, as they are", "books-unwrapped": "four books, prose unwrapped", "stories": "51 stories", "sums": "10,000 fresh sums"}


def number(v, digits=3):
    return f"{v:.{digits}f}"


def card(name, m, engine):
    masked, model, train = m["model"]["architecture"] == "bert", m["model"], m["train"]
    shape = {k: v for k, v in model.items() if k not in ("architecture", "norm_eps", "rope_base", "init_std")}
    lines = [f"# {name}", "", ABOUT[name], "", "| | |", "|---|---|"]
    lines.append(f"| file | `{m['file']}`, {m['file_bytes']:,} bytes, {m.get('quantize', 'Q8_0')}" + (" (twelve files, one a moment)" if train.get("snapshots") else "") + " |")
    lines.append(f"| sha256 | `{m['sha256']}` |")
    lines.append(f"| architecture | `{model['architecture']}`: " + ", ".join(f"{k} {v}" for k, v in shape.items()) + " |")
    lines.append(f"| parameters | {m['parameters']:,} |")
    lines.append(f"| vocabulary | [`{m['vocabulary']}`](../vocabularies/{m['vocabulary']}.json), learned by Microtome's trainer |")
    lines.append(f"| trained | {m['steps']:,} steps of {train['batch']} windows of {model['context']} tokens: {m['tokens'] / 1e6:.0f} million tokens, {m['tokens'] * m['bytes_per_token'] / 1e6:.0f} MB of text; {m['seconds']} s on one {m['device']} (shared with other runs), bfloat16 |")
    optimizer = f"Muon {train['muon_lr']} for matrices, AdamW {train['lr']} for the rest" if train["optimizer"] == "muon" else f"AdamW {train['lr']}"
    lines.append(f"| optimizer | {optimizer}; warm-up {train['warmup']} steps, linear decay to 0; seed {train['seed']} |")
    lines += [f"| licence | {m['license']} |", "", "## Data", ""]
    names = {"sums": "random sums `a+b=c` and `a-b=c`, drawn with a seed by data.py (nobody's text)", "books": "114 English books of Project Gutenberg (public domain in the US), hard line ends",
             "books-unwrapped": "the same books with prose unwrapped", "novels": "177 English novels, none later than 1930 (100 English Novels and ELTeC-eng, put together by [novels.py](../novels.py); public domain in the US), hard line ends",
             "novels-unwrapped": "the same novels with prose unwrapped", "speeches": "State of the Union addresses (public domain)", "inaugural": "inaugural addresses (public domain)",
             "questions": "GSM8K, training part (MIT)", "stories": "a sample of TinyStories without every 20th story (CDLA-Sharing-1.0)"}
    for s in m["sources"]:
        lines.append(f"- {names[s['name']]}: {s['bytes'] / s.get('copies', 1) / 1e6:.1f} MB, {s['epochs']:.1f} passes")
    text = "sums" not in m["heldout"]
    if text and "novels" not in {s["name"] for s in m["sources"]}:
        lines += ["", "It was trained before the recipe had the novels, on 71 MB of prose where the twins had 198: beside theirs its figures say nothing about its architecture."]
    if text:
        lines += ["", "Never seen: *A Tale of Two Cities*, *Pride and Prejudice*, *The Time Machine*, *Treasure Island*; *Moby-Dick*, *The Adventures of Sherlock Holmes*, *War and Peace*; every 20th story."]
    unit = "nats a masked token | right" if masked else "bits/byte"
    lines += ["", "## Figures", "", "Of the file itself, float32 arithmetic ([how](../README.md)).", "", f"| held-out text | bytes | bytes/token | {unit} |", "|---|---|---|---|" + ("---|" if masked else "")]
    for s, f in m["heldout"].items():
        last = f"{number(f[s])} | {100 * f[s + ' right']:.1f} %" if masked else f"**{number(f[s])}**"
        lines.append(f"| {TITLES[s]} | {f['bytes']:,} | {f['bytes per token']:.2f} | {last} |")
    if "right" in m:
        lines += ["", "Share of 9,000 fresh sums answered wholly right by greedy decoding (Q8_0), by the digits of the longer number: "
                  + ", ".join(f"{d}: {100 * v:.1f} %" for d, v in m["right"].items()) + "."]
    if engine.get("sums"):
        lines += ["", f"The shipped {m.get('quantize', 'Q8_0')} file in our engine: {100 * engine['sums']['right']:.1f} % of {engine['sums']['lines']} fresh sums."]
    if "stories" in engine:
        lines += ["", f"The stories in our engine: {number(engine['stories'], 5)} bits/byte; in PyTorch {number(m['heldout']['stories']['stories'], 5)}."]
    if "bits_per_byte" in engine.get("exact", {}):
        lines += ["", f"On {engine['exact']['bytes']:,} bytes of excerpts: {number(engine['excerpts'])} bits/byte along the usual tokens, **{number(engine['exact']['bits_per_byte'])}** by exact next-byte probabilities."]
    lines += ["", f"![Training curve]({name}.svg)", ""]
    if m.get("samples"):
        lines += ["## Samples", "", "Temperature 0.7, top-p 0.9; the prompt ends at `|`. First draws, not chosen.", ""]
        for s in m["samples"]:
            lines += ["```", s.strip(), "```", ""]
        lines += [READ[name], ""] if name in READ else []
    lines += ["## Limits", "", "A small model trained on little text: it makes things up, repeats itself, and carries the views of its sources' times. It is for looking at, not for relying on.", ""]
    return "\n".join(lines)


def figure(rows, path):
    """Bars: bits per byte of excerpts along the usual tokens and by exact bytes, one pair a twin."""
    width, left, row = 640, 130, 46
    height, scale = 60 + row * len(rows), (width - left - 70) / max(max(a, b) for _, a, b in rows)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-label="Bits per byte of the twins: usual tokens and exact bytes">',
        "<title>Bits per byte of the twins: usual tokens and exact bytes</title><style>text{font:13px system-ui,sans-serif;fill:#333}.a{fill:#8aa4c8}.b{fill:#c2571a}"
        "@media(prefers-color-scheme:dark){text{fill:#ddd}.a{fill:#5f7fae}.b{fill:#e08a4f}}</style>",
        f'<rect class="a" x="{left}" y="12" width="12" height="12"/><text x="{left + 18}" y="23">along the usual tokens</text>',
        f'<rect class="b" x="{left + 190}" y="12" width="12" height="12"/><text x="{left + 208}" y="23">exact next-byte probabilities</text>',
    ]
    for i, (name, usual, exact) in enumerate(rows):
        y = 42 + i * row
        out.append(f'<text x="{left - 10}" y="{y + 20}" text-anchor="end">{name.removeprefix("twin-")}</text>')
        for j, (kind, v) in enumerate((("a", usual), ("b", exact))):
            out.append(f'<rect class="{kind}" x="{left}" y="{y + 16 * j}" width="{v * scale:.1f}" height="14"/><text x="{left + v * scale + 6:.1f}" y="{y + 12 + 16 * j}">{v:.3f}</text>')
    with open(path, "w", encoding="utf-8") as f:
        f.write("\n".join(out) + "\n</svg>\n")


def main():
    folder = sys.argv[1]
    load = lambda name: json.load(open(os.path.join(folder, name), encoding="utf-8"))
    metrics = {n: load(n + ".metrics.json") for n in ORDER if os.path.exists(os.path.join(folder, n + ".metrics.json"))}
    measured = load("measured.json")
    table = ["| model | parameters | MB | vocabulary | books | unwrapped | stories |", "|---|---|---|---|---|---|---|"]
    for n, m in metrics.items():
        with open(os.path.join(folder, n + ".md"), "w", encoding="utf-8") as f:
            f.write(card(n, m, measured.get(n, {})))
        unit = "nats at masked positions" if m["model"]["architecture"] == "bert" else "bits per byte"
        draw(os.path.join(folder, n + ".svg"), f"{n}: {unit} during training", list(m["curves"].items()), "millions of tokens seen")
        h = m["heldout"]
        if m["model"]["architecture"] == "bert":
            cells = [f"{100 * h[s][s + ' right']:.0f} % right" for s in TITLES if s in h]
        elif "sums" in h:
            cells = [f"{100 * measured[n]['sums']['right']:.1f} % of sums right", "", ""]
        else:
            cells = [number(h[s][s]) for s in ("books", "books-unwrapped", "stories")]
        times = 12 if m["train"].get("snapshots") else 1
        table.append(f"| [{n}](family/{n}.md) | {m['parameters'] / 1e6:.1f} M | {m['file_bytes'] * times / 1e6:.1f} | {m['vocabulary']} | " + " | ".join(cells) + " |")
    rows = [(n, measured[n]["excerpts"], measured[n]["exact"]["bits_per_byte"]) for n in metrics if "bits_per_byte" in measured.get(n, {}).get("exact", {})]
    figure(rows, os.path.join(folder, "twins.svg"))
    readme = os.path.join(folder, "..", "README.md")
    with open(readme, encoding="utf-8") as f:
        text = f.read()
    begin, end = "<!-- family: made by card.py -->\n", "<!-- end of family -->"
    a, b = text.index(begin) + len(begin), text.index(end)
    with open(readme, "w", encoding="utf-8") as f:
        f.write(text[:a] + "\n".join(table) + "\n" + text[b:])


if __name__ == "__main__":
    main()
