"""Llama-style decoder (RMSNorm, rotary positions, SwiGLU, grouped-query attention, tied embeddings, no biases).

Rotary pairs are *adjacent* elements (2m, 2m+1), as GGUF's "llama" architecture has it, so the weights of q and k go to
the file unpermuted. Parameter names are GGUF tensor names with dots replaced by underscores where PyTorch needs it.
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


def rotate(x, cos, sin):
    """x [batch, time, heads, head]; cos, sin [time, head/2]; adjacent pairs (a, b) -> (a cos - b sin, a sin + b cos)."""
    pairs = x.float().unflatten(-1, (-1, 2))
    a, b = pairs[..., 0], pairs[..., 1]
    cos, sin = cos[:, None], sin[:, None]
    return torch.stack([a * cos - b * sin, a * sin + b * cos], -1).flatten(-2).to(x.dtype)


def matrix(n_out, n_in, std):
    return nn.Parameter(torch.randn(n_out, n_in) * std)


class Block(nn.Module):
    def __init__(self, c):
        super().__init__()
        d, h, kv, f = c["d_model"], c["n_head"], c["n_head_kv"], c["d_ff"]
        self.n_head, self.n_head_kv, self.head = h, kv, d // h
        std, out_std = c["init_std"], c["init_std"] / math.sqrt(2 * c["n_layer"])
        self.attn_norm = RMSNorm(d, c["norm_eps"])
        self.attn_q = matrix(d, d, std)
        self.attn_k = matrix(kv * self.head, d, std)
        self.attn_v = matrix(kv * self.head, d, std)
        self.attn_output = matrix(d, d, out_std)
        self.ffn_norm = RMSNorm(d, c["norm_eps"])
        self.ffn_gate = matrix(f, d, std)
        self.ffn_up = matrix(f, d, std)
        self.ffn_down = matrix(d, f, out_std)

    def forward(self, x, cos, sin):
        batch, time, d = x.shape
        n = self.attn_norm(x)
        kv = self.n_head_kv * self.head
        q, k, v = F.linear(n, torch.cat([self.attn_q, self.attn_k, self.attn_v])).split([d, kv, kv], -1)
        q = rotate(q.view(batch, time, self.n_head, self.head), cos, sin)
        k = rotate(k.view(batch, time, self.n_head_kv, self.head), cos, sin)
        v = v.view(batch, time, self.n_head_kv, self.head)
        group = self.n_head // self.n_head_kv  # query head h reads key/value head h // group
        k, v = k.repeat_interleave(group, 2), v.repeat_interleave(group, 2)
        y = F.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), is_causal=True)
        x = x + F.linear(y.transpose(1, 2).reshape(batch, time, d), self.attn_output)
        gate, up = F.linear(self.ffn_norm(x), torch.cat([self.ffn_gate, self.ffn_up])).chunk(2, -1)
        return x + F.linear(F.silu(gate) * up, self.ffn_down)


class Llama(nn.Module):
    architecture = "llama"

    def __init__(self, config, vocab_size):
        super().__init__()
        c = {"norm_eps": 1e-5, "rope_base": 10000.0, "init_std": 0.02, **config}
        if c["d_model"] % c["n_head"] or c["n_head"] % c["n_head_kv"] or (c["d_model"] // c["n_head"]) % 2:
            raise ValueError(f"model {c}: heads must divide the width evenly, n_head_kv must divide n_head, head size must be even")
        self.config, self.vocab_size = c, vocab_size
        self.token_embd = matrix(vocab_size, c["d_model"], c["init_std"])
        self.blk = nn.ModuleList(Block(c) for _ in range(c["n_layer"]))
        self.output_norm = RMSNorm(c["d_model"], c["norm_eps"])
        half = c["d_model"] // c["n_head"] // 2
        theta = c["rope_base"] ** (-torch.arange(half, dtype=torch.float64) / half)
        angle = torch.arange(c["context"], dtype=torch.float64)[:, None] * theta
        self.register_buffer("cos", angle.cos().float(), persistent=False)
        self.register_buffer("sin", angle.sin().float(), persistent=False)

    def forward(self, ids):
        x = F.embedding(ids, self.token_embd)
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
        yield "output_norm.weight", self.output_norm.weight
        for i, b in enumerate(self.blk):
            for name, p in b.named_parameters():
                yield f"blk.{i}.{name.removesuffix('.weight')}.weight", p

    def gguf_metadata(self):
        c, a = self.config, self.architecture
        return {
            f"{a}.context_length": c["context"],
            f"{a}.embedding_length": c["d_model"],
            f"{a}.block_count": c["n_layer"],
            f"{a}.feed_forward_length": c["d_ff"],
            f"{a}.attention.head_count": c["n_head"],
            f"{a}.attention.head_count_kv": c["n_head_kv"],
            f"{a}.attention.layer_norm_rms_epsilon": float(c["norm_eps"]),
            f"{a}.rope.dimension_count": c["d_model"] // c["n_head"],
            f"{a}.rope.freq_base": float(c["rope_base"]),
            f"{a}.vocab_size": self.vocab_size,
        }

    @staticmethod
    def config_from_gguf(meta):
        a = "llama"
        return {
            "context": meta[f"{a}.context_length"],
            "d_model": meta[f"{a}.embedding_length"],
            "n_layer": meta[f"{a}.block_count"],
            "d_ff": meta[f"{a}.feed_forward_length"],
            "n_head": meta[f"{a}.attention.head_count"],
            "n_head_kv": meta[f"{a}.attention.head_count_kv"],
            "norm_eps": meta[f"{a}.attention.layer_norm_rms_epsilon"],
            "rope_base": meta[f"{a}.rope.freq_base"],
        }


ARCHITECTURES = {"llama": Llama}
