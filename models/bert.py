"""BERT (Devlin et al. 2019) for masked language modelling: norms after each block, learned positions, GELU, and the head
dense -> GELU -> norm -> embedding. One segment only; no pooler, no next-sentence head (as RoBERTa, Liu et al. 2019).

It is kept as a hub folder (config.json, model.safetensors) first: `hub_files` gives its content.
"""

import torch
import torch.nn.functional as F
from torch import nn

from decoder import LayerNorm, matrix


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

    def hub_files(self):
        """(config.json as a dict, {name: tensor}) of transformers' BertForMaskedLM."""
        c = self.config
        config = {
            "architectures": ["BertForMaskedLM"], "model_type": "bert", "vocab_size": self.vocab_size, "hidden_size": c["d_model"],
            "num_hidden_layers": c["n_layer"], "num_attention_heads": c["n_head"], "intermediate_size": c["d_ff"], "hidden_act": "gelu",
            "max_position_embeddings": c["context"], "type_vocab_size": 1, "layer_norm_eps": c["norm_eps"], "hidden_dropout_prob": 0.0,
            "attention_probs_dropout_prob": 0.0, "tie_word_embeddings": True,
        }
        e, t = "bert.embeddings.", {}
        t[e + "word_embeddings.weight"], t[e + "position_embeddings.weight"] = self.token_embd, self.position_embd
        t[e + "token_type_embeddings.weight"] = torch.zeros(1, c["d_model"])
        t[e + "LayerNorm.weight"], t[e + "LayerNorm.bias"] = self.embed_norm.weight, self.embed_norm.bias
        for i, layer in enumerate(self.layers):
            p = f"bert.encoder.layer.{i}."
            for name, w, b in zip(("query", "key", "value"), layer.qkv.chunk(3), layer.qkv_bias.chunk(3)):
                t[f"{p}attention.self.{name}.weight"], t[f"{p}attention.self.{name}.bias"] = w, b
            t[p + "attention.output.dense.weight"], t[p + "attention.output.dense.bias"] = layer.out, layer.out_bias
            t[p + "attention.output.LayerNorm.weight"], t[p + "attention.output.LayerNorm.bias"] = layer.attn_norm.weight, layer.attn_norm.bias
            t[p + "intermediate.dense.weight"], t[p + "intermediate.dense.bias"] = layer.up, layer.up_bias
            t[p + "output.dense.weight"], t[p + "output.dense.bias"] = layer.down, layer.down_bias
            t[p + "output.LayerNorm.weight"], t[p + "output.LayerNorm.bias"] = layer.ffn_norm.weight, layer.ffn_norm.bias
        t["cls.predictions.transform.dense.weight"], t["cls.predictions.transform.dense.bias"] = self.head, self.head_bias
        t["cls.predictions.transform.LayerNorm.weight"], t["cls.predictions.transform.LayerNorm.bias"] = self.head_norm.weight, self.head_norm.bias
        t["cls.predictions.bias"] = self.output_bias
        return config, {k: v.detach().contiguous() for k, v in t.items()}
