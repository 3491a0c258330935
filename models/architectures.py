"""Where an architecture joins: a class with forward(ids), hidden_matrices(), gguf_tensors(), gguf_metadata() and
load_gguf(tensors)."""

from bert import Bert
from decoder import Decoder
from lstm import LSTM
from mamba import Mamba

ARCHITECTURES = {"llama": Decoder, "qwen3": Decoder, "gpt2": Decoder, "mamba": Mamba, "lstm": LSTM, "bert": Bert}
