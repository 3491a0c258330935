"""BERT (Devlin et al. 2019) for masked language modelling: norms after each block, learned positions, GELU, and the head
dense -> GELU -> norm -> embedding. One segment only; no pooler, no next-sentence head (as RoBERTa, Liu et al. 2019).
"""

import torch
import torch.nn.functional as F
from torch import nn

from decoder import LayerNorm, copy_tensors, matrix, named


class Layer(nn.Module):
    def __init__(self, c):
        super().__init__()
        d, f, std = c["d_model"], c["d_ff"], c["init_std"]
        self.n_head = c["n_head"]
        self.qkv, self.qkv_bias = matrix(3 * d, d, std), nn.Parameter(torch.zeros(3 * d))
        self.out, self.out_bias = matrix(d, d, std), nn.Parameter(torch.zeros(d))
        self.attn_norm = LayerNorm(d, c["norm_eps"])
        self.up, self.up_bias = matrix(f, d, std), nn.Parameter(torch.zeros(f))
        self.down, self.down_bias = matrix(d, f, std), nn.Parameter(torch.zeros(d))
        self.ffn_norm = LayerNorm(d, c["norm_eps"])

    def forward(self, x):
        batch, time, d = x.shape
        q, k, v = (a.view(batch, time, self.n_head, -1).transpose(1, 2) for a in F.linear(x, self.qkv, self.qkv_bias).chunk(3, -1))
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, time, d)
        x = self.attn_norm(x + F.linear(y, self.out, self.out_bias))
        return self.ffn_norm(x + F.linear(F.gelu(F.linear(x, self.up, self.up_bias)), self.down, self.down_bias))


class Bert(nn.Module):
    architecture = "bert"
    masked = True

    def __init__(self, config, vocab_size):
        super().__init__()
        c = {"norm_eps": 1e-12, "init_std": 0.02, **config}
        self.config, self.vocab_size = c, vocab_size
        d = c["d_model"]
        self.token_embd = matrix(vocab_size, d, c["init_std"])
        self.position_embd = matrix(c["context"], d, c["init_std"])
        self.embed_norm = LayerNorm(d, c["norm_eps"])
        self.layers = nn.ModuleList(Layer(c) for _ in range(c["n_layer"]))
        self.head, self.head_bias = matrix(d, d, c["init_std"]), nn.Parameter(torch.zeros(d))
        self.head_norm = LayerNorm(d, c["norm_eps"])
        self.output_bias = nn.Parameter(torch.zeros(vocab_size))

    def forward(self, ids):
        x = self.embed_norm(F.embedding(ids, self.token_embd) + self.position_embd[: ids.shape[1]])
        for layer in self.layers:
            x = layer(x)
        return F.linear(self.head_norm(F.gelu(F.linear(x, self.head, self.head_bias))), self.token_embd, self.output_bias)

    def hidden_matrices(self):
        return [p for layer in self.layers for p in layer.parameters() if p.ndim == 2] + [self.head]

    def gguf_tensors(self):
        """Names as llama.cpp has them, and cls for the head. Queries, keys and values are matrices of their own."""
        yield "token_embd.weight", self.token_embd
        yield "position_embd.weight", self.position_embd
        yield "token_types.weight", torch.zeros(1, self.config["d_model"])
        yield from named("token_embd_norm", self.embed_norm)
        for i, layer in enumerate(self.layers):
            p = f"blk.{i}."
            for name, w, b in zip("qkv", layer.qkv.chunk(3), layer.qkv_bias.chunk(3)):
                yield f"{p}attn_{name}.weight", w
                yield f"{p}attn_{name}.bias", b
            for name, w, b in (("attn_output", layer.out, layer.out_bias), ("ffn_up", layer.up, layer.up_bias), ("ffn_down", layer.down, layer.down_bias)):
                yield f"{p}{name}.weight", w
                yield f"{p}{name}.bias", b
            yield from named(p + "attn_output_norm", layer.attn_norm)
            yield from named(p + "layer_output_norm", layer.ffn_norm)
        yield "cls.weight", self.head
        yield "cls.bias", self.head_bias
        yield from named("cls.norm", self.head_norm)
        yield "output.bias", self.output_bias

    keep_float = ("position_embd", "token_types")

    def load_gguf(self, tensors):
        with torch.no_grad():
            copy_tensors(dict(self.gguf_tensors()), tensors)  # chunks are views: the joined matrix is filled

    def gguf_metadata(self):
        c = self.config
        return {
            "bert.context_length": c["context"],
            "bert.embedding_length": c["d_model"],
            "bert.block_count": c["n_layer"],
            "bert.feed_forward_length": c["d_ff"],
            "bert.attention.head_count": c["n_head"],
            "bert.attention.layer_norm_epsilon": float(c["norm_eps"]),
            "bert.attention.causal": False,
            "bert.vocab_size": self.vocab_size,
            "tokenizer.ggml.token_type_count": 1,
        }
