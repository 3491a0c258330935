"""LSTM language model (Hochreiter and Schmidhuber 1997; Zaremba et al. 2014): embedding, stacked LSTM layers and
the embedding again as the output matrix (Press and Wolf 2017).

Gates in PyTorch's order i, f, g, o. The state begins at zero in every training window.
"""

import torch
import torch.nn.functional as F
from torch import nn

from decoder import copy_tensors, matrix


class LSTM(nn.Module):
    architecture = "lstm"

    def __init__(self, config, vocab_size):
        super().__init__()
        c = {"init_std": 0.02, "dropout": 0.0, **config}
        self.config, self.vocab_size = c, vocab_size
        if c["d_hidden"] != c["d_model"]:
            raise ValueError("d_hidden must be d_model: the output matrix is the embedding")
        self.token_embd = matrix(vocab_size, c["d_model"], c["init_std"])
        self.rnn = nn.LSTM(c["d_model"], c["d_hidden"], c["n_layer"], batch_first=True, dropout=c["dropout"])
        with torch.no_grad():  # a forget gate that begins open (Jozefowicz et al. 2015)
            for layer in range(c["n_layer"]):
                getattr(self.rnn, f"bias_ih_l{layer}")[c["d_hidden"] : 2 * c["d_hidden"]] = 1.0

    def forward(self, ids):
        x = F.embedding(ids, self.token_embd)
        if self.config["dropout"]:
            x = F.dropout(x, self.config["dropout"], self.training)
        y, _ = self.rnn(x)
        if self.config["dropout"]:
            y = F.dropout(y, self.config["dropout"], self.training)
        return F.linear(y, self.token_embd)

    def hidden_matrices(self):
        return [p for p in self.rnn.parameters() if p.ndim == 2]

    def gguf_tensors(self):
        yield "token_embd.weight", self.token_embd
        for i in range(self.config["n_layer"]):
            for kind in ("ih", "hh"):
                yield f"blk.{i}.lstm_{kind}.weight", getattr(self.rnn, f"weight_{kind}_l{i}")
                yield f"blk.{i}.lstm_{kind}.bias", getattr(self.rnn, f"bias_{kind}_l{i}")

    def load_gguf(self, tensors):
        with torch.no_grad():
            copy_tensors(dict(self.gguf_tensors()), tensors)

    def gguf_metadata(self):
        c = self.config
        return {
            "lstm.context_length": c["context"],
            "lstm.embedding_length": c["d_model"],
            "lstm.hidden_length": c["d_hidden"],
            "lstm.block_count": c["n_layer"],
            "lstm.vocab_size": self.vocab_size,
        }
