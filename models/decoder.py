"""Decoders: the llama, qwen3 and gpt2 families as one class, named as GGUF names their tensors.

  llama   RMSNorm, rotary positions on adjacent pairs (2m, 2m+1), SwiGLU, grouped-query attention, no biases
  qwen3   llama with RMSNorm on every head's query and key (Henry et al. 2020) and rotary pairs (m, m + size/2)
  gpt2    LayerNorm, learned positions, tanh-GELU, biases everywhere; d_ff = 0 leaves the feed-forward blocks out
          (the attention-only models of Elhage et al. 2021)

The output matrix is the embedding (tied). `dropout` acts on the embedding and on what each block adds.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn


class RMSNorm(nn.Module):
    def __init__(self, width, eps):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x):
        f = x.float()
        return (f * torch.rsqrt(f.pow(2).mean(-1, keepdim=True) + self.eps) * self.weight.float()).to(x.dtype)


class LayerNorm(nn.Module):
    def __init__(self, width, eps):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))
        self.eps = eps

    def forward(self, x):
        return F.layer_norm(x.float(), x.shape[-1:], self.weight.float(), self.bias.float(), self.eps).to(x.dtype)


def rotate_adjacent(x, cos, sin):
    """x [batch, time, heads, head]; cos, sin [time, head/2]; pairs (2m, 2m+1): (a, b) -> (a cos - b sin, a sin + b cos)."""
    a, b = x.float().unflatten(-1, (-1, 2)).unbind(-1)
    cos, sin = cos[:, None], sin[:, None]
    return torch.stack([a * cos - b * sin, a * sin + b * cos], -1).flatten(-2).to(x.dtype)


def rotate_halves(x, cos, sin):
    """The same with pairs (m, m + size/2)."""
    a, b = x.float().chunk(2, -1)
    cos, sin = cos[:, None], sin[:, None]
    return torch.cat([a * cos - b * sin, a * sin + b * cos], -1).to(x.dtype)


def matrix(n_out, n_in, std):
    return nn.Parameter(torch.randn(n_out, n_in) * std)


class Block(nn.Module):
    def __init__(self, c):
        super().__init__()
        d, h, kv, f = c["d_model"], c["n_head"], c["n_head_kv"], c["d_ff"]
        self.n_head, self.n_head_kv, self.head, self.d_ff = h, kv, d // h, f
        self.gpt2, self.dropout = c["architecture"] == "gpt2", c["dropout"]
        self.rotate = rotate_halves if c["architecture"] == "qwen3" else rotate_adjacent
        std, out_std = c["init_std"], c["init_std"] / math.sqrt((2 if f else 1) * c["n_layer"])
        norm = LayerNorm if self.gpt2 else RMSNorm
        self.attn_norm = norm(d, c["norm_eps"])
        self.attn_q = matrix(d, d, std)
        self.attn_k = matrix(kv * self.head, d, std)
        self.attn_v = matrix(kv * self.head, d, std)
        self.attn_output = matrix(d, d, out_std)
        if c["architecture"] == "qwen3":
            self.attn_q_norm, self.attn_k_norm = RMSNorm(self.head, c["norm_eps"]), RMSNorm(self.head, c["norm_eps"])
        if self.gpt2:
            self.attn_qkv_bias, self.attn_output_bias = (nn.Parameter(torch.zeros(n)) for n in (3 * d, d))
        if f:
            self.ffn_norm = norm(d, c["norm_eps"])
            self.ffn_up = matrix(f, d, std)
            self.ffn_down = matrix(d, f, out_std)
            if self.gpt2:
                self.ffn_up_bias, self.ffn_down_bias = (nn.Parameter(torch.zeros(n)) for n in (f, d))
            else:
                self.ffn_gate = matrix(f, d, std)

    def drop(self, x):
        return F.dropout(x, self.dropout, self.training) if self.dropout else x

    def attention(self, n, cos, sin):
        batch, time, d = n.shape
        kv = self.n_head_kv * self.head
        bias = self.attn_qkv_bias if self.gpt2 else None
        q, k, v = F.linear(n, torch.cat([self.attn_q, self.attn_k, self.attn_v]), bias).split([d, kv, kv], -1)
        q, k, v = (a.view(batch, time, -1, self.head) for a in (q, k, v))
        if hasattr(self, "attn_q_norm"):
            q, k = self.attn_q_norm(q), self.attn_k_norm(k)
        if not self.gpt2:
            q, k = self.rotate(q, cos, sin), self.rotate(k, cos, sin)
        group = self.n_head // self.n_head_kv  # query head h reads key/value head h // group
        if group > 1:
            k, v = k.repeat_interleave(group, 2), v.repeat_interleave(group, 2)
        y = F.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), is_causal=True)
        return F.linear(y.transpose(1, 2).reshape(batch, time, d), self.attn_output, self.attn_output_bias if self.gpt2 else None)

    def feed_forward(self, n):
        if self.gpt2:
            return F.linear(F.gelu(F.linear(n, self.ffn_up, self.ffn_up_bias), approximate="tanh"), self.ffn_down, self.ffn_down_bias)
        gate, up = F.linear(n, torch.cat([self.ffn_gate, self.ffn_up])).chunk(2, -1)
        return F.linear(F.silu(gate) * up, self.ffn_down)

    def forward(self, x, cos, sin):
        x = x + self.drop(self.attention(self.attn_norm(x), cos, sin))
        return x + self.drop(self.feed_forward(self.ffn_norm(x))) if self.d_ff else x


class Decoder(nn.Module):
    def __init__(self, config, vocab_size):
        super().__init__()
        c = {"norm_eps": 1e-5, "rope_base": 10000.0, "init_std": 0.02, "dropout": 0.0, **config}
        c.setdefault("n_head_kv", c["n_head"])
        if c["d_model"] % c["n_head"] or c["n_head"] % c["n_head_kv"] or (c["d_model"] // c["n_head"]) % 2:
            raise ValueError(f"model {c}: heads must divide the width evenly, n_head_kv must divide n_head, head size must be even")
        if c["architecture"] == "gpt2" and c["n_head_kv"] != c["n_head"]:
            raise ValueError("gpt2 has as many key/value heads as heads")
        self.config, self.vocab_size, self.architecture = c, vocab_size, c["architecture"]
        gpt2 = self.architecture == "gpt2"
        self.token_embd = matrix(vocab_size, c["d_model"], c["init_std"])
        self.position_embd = matrix(c["context"], c["d_model"], c["init_std"]) if gpt2 else None
        self.blk = nn.ModuleList(Block(c) for _ in range(c["n_layer"]))
        self.output_norm = (LayerNorm if gpt2 else RMSNorm)(c["d_model"], c["norm_eps"])
        half = c["d_model"] // c["n_head"] // 2
        theta = c["rope_base"] ** (-torch.arange(half, dtype=torch.float64) / half)
        angle = torch.arange(c["context"], dtype=torch.float64)[:, None] * theta
        self.register_buffer("cos", angle.cos().float(), persistent=False)
        self.register_buffer("sin", angle.sin().float(), persistent=False)

    def forward(self, ids):
        x = F.embedding(ids, self.token_embd)
        if self.position_embd is not None:
            x = x + self.position_embd[: ids.shape[1]]
        if self.config["dropout"]:
            x = F.dropout(x, self.config["dropout"], self.training)
        cos, sin = self.cos[: ids.shape[1]], self.sin[: ids.shape[1]]
        for block in self.blk:
            x = block(x, cos, sin)
        return F.linear(self.output_norm(x), self.token_embd)

    def hidden_matrices(self):
        """The matrices inside the blocks: what a matrix-aware optimizer may take. The rest goes to AdamW."""
        return [p for b in self.blk for p in b.parameters() if p.ndim == 2]

    def gguf_tensors(self):
        """(GGUF name, tensor) in file order. The output matrix is the embedding (tied), so it is not stored."""
        yield "token_embd.weight", self.token_embd
        if self.position_embd is not None:
            yield "position_embd.weight", self.position_embd
        yield from named("output_norm", self.output_norm)
        for i, b in enumerate(self.blk):
            if b.gpt2:
                yield f"blk.{i}.attn_qkv.weight", torch.cat([b.attn_q, b.attn_k, b.attn_v])
            for name, p in b.named_parameters():
                if b.gpt2 and name in ("attn_q", "attn_k", "attn_v"):
                    continue
                stem, _, kind = name.partition(".") if "." in name else (name.removesuffix("_bias"), "", "bias" if name.endswith("_bias") else "weight")
                yield f"blk.{i}.{stem}.{kind}", p

    def load_gguf(self, tensors):
        """Takes the (dequantised) tensors of a file that `gguf_tensors` described. Raises when names differ."""
        with torch.no_grad():
            parts = {}
            for i, b in enumerate(self.blk):
                if b.gpt2:
                    parts[f"blk.{i}.attn_qkv.weight"] = (b.attn_q, b.attn_k, b.attn_v)
            copy_tensors(dict(self.gguf_tensors()), tensors, parts)

    def gguf_metadata(self):
        c, a = self.config, self.architecture
        common = {
            f"{a}.context_length": c["context"],
            f"{a}.embedding_length": c["d_model"],
            f"{a}.block_count": c["n_layer"],
            f"{a}.feed_forward_length": c["d_ff"],
            f"{a}.attention.head_count": c["n_head"],
            f"{a}.vocab_size": self.vocab_size,
        }
        if a == "gpt2":
            return {**common, f"{a}.attention.layer_norm_epsilon": float(c["norm_eps"])}
        head = c["d_model"] // c["n_head"]
        return {
            **common,
            f"{a}.attention.head_count_kv": c["n_head_kv"],
            f"{a}.attention.key_length": head,
            f"{a}.attention.value_length": head,
            f"{a}.attention.layer_norm_rms_epsilon": float(c["norm_eps"]),
            f"{a}.rope.dimension_count": head,
            f"{a}.rope.freq_base": float(c["rope_base"]),
        }


def named(stem, module):
    for kind, p in module.named_parameters():
        yield f"{stem}.{kind}", p


def copy_tensors(targets, tensors, parts=None):
    """Copies arrays into parameters of the same names; `parts` gives the parameters that a joined tensor's rows fill."""
    if set(targets) != set(tensors):
        raise ValueError(f"tensors differ from the architecture's: {sorted(set(targets) ^ set(tensors))}")
    for name, p in targets.items():
        value = torch.from_numpy(tensors[name]).reshape(p.shape)
        if parts and name in parts:
            for part, rows in zip(parts[name], value.split([q.shape[0] for q in parts[name]])):
                part.copy_(rows)
        else:
            p.copy_(value)
