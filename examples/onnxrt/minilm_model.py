"""A BERT encoder in plain PyTorch, just large enough to hold all-MiniLM-L6-v2's weights (Devlin et al. 2019)."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn


@dataclass(frozen=True)
class Sizes:
    """The numbers of a BERT configuration that shape the network."""

    hidden: int
    layers: int
    heads: int
    intermediate: int
    vocabulary: int
    positions: int
    types: int
    epsilon: float

    @classmethod
    def read(cls, path: Path) -> Sizes:
        """From a ``config.json``."""
        config = json.loads(path.read_text())
        return cls(
            config["hidden_size"],
            config["num_hidden_layers"],
            config["num_attention_heads"],
            config["intermediate_size"],
            config["vocab_size"],
            config["max_position_embeddings"],
            config["type_vocab_size"],
            config["layer_norm_eps"],
        )


class Attention(nn.Module):
    """Multi-head self-attention with its residual and layer norm."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.heads = sizes.heads
        # Known from the configuration: read off a tensor, it would keep symbolic tracing out.
        self.scale = math.sqrt(sizes.hidden // sizes.heads)
        self.query = nn.Linear(sizes.hidden, sizes.hidden)
        self.key = nn.Linear(sizes.hidden, sizes.hidden)
        self.value = nn.Linear(sizes.hidden, sizes.hidden)
        self.output = nn.Linear(sizes.hidden, sizes.hidden)
        self.norm = nn.LayerNorm(sizes.hidden, eps=sizes.epsilon)

    def forward(self, hidden: Tensor, bias: Tensor) -> Tensor:
        """``[n, length, hidden]``; `bias` is added to the attention scores."""
        query, key, value = (self._split(linear(hidden)) for linear in (self.query, self.key, self.value))
        scores = query @ key.transpose(-1, -2) / self.scale + bias
        mixed = (torch.softmax(scores, dim=-1) @ value).transpose(1, 2).flatten(2)
        return self.norm(self.output(mixed) + hidden)

    def _split(self, projected: Tensor) -> Tensor:
        return projected.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class Layer(nn.Module):
    """Attention and feed-forward."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.attention = Attention(sizes)
        self.expand = nn.Linear(sizes.hidden, sizes.intermediate)
        self.reduce = nn.Linear(sizes.intermediate, sizes.hidden)
        self.norm = nn.LayerNorm(sizes.hidden, eps=sizes.epsilon)

    def forward(self, hidden: Tensor, bias: Tensor) -> Tensor:
        """``[n, length, hidden]``."""
        hidden = self.attention(hidden, bias)
        return self.norm(self.reduce(_gelu(self.expand(hidden))) + hidden)


def _gelu(x: Tensor) -> Tensor:
    # Spelled out in the one order of operations that ONNX Runtime fuses to a single op: fp32 should be at its best.
    return (x * (1.0 + torch.erf(x / math.sqrt(2.0)))) * 0.5


class MiniLM(nn.Module):
    """Token ids and mask → hidden states of the last layer; every token is of type 0."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.words = nn.Embedding(sizes.vocabulary, sizes.hidden)
        self.positions = nn.Embedding(sizes.positions, sizes.hidden)
        self.types = nn.Embedding(sizes.types, sizes.hidden)
        self.norm = nn.LayerNorm(sizes.hidden, eps=sizes.epsilon)
        self.layers = nn.ModuleList(Layer(sizes) for _ in range(sizes.layers))

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """``[n, length]`` int64 both; returns ``[n, length, hidden]``."""
        positions = torch.arange(input_ids.shape[1], device=input_ids.device)
        hidden = self.norm(self.words(input_ids) + self.positions(positions) + self.types.weight[0])
        # Large enough to switch padding off, small enough that a fully masked row stays finite.
        bias = (1.0 - attention_mask[:, None, None, :].to(hidden.dtype)) * -10_000.0
        for layer in self.layers:
            hidden = layer(hidden, bias)
        return hidden


_LAYER_NAMES = {
    "attention.query": "attention.self.query",
    "attention.key": "attention.self.key",
    "attention.value": "attention.self.value",
    "attention.output": "attention.output.dense",
    "attention.norm": "attention.output.LayerNorm",
    "expand": "intermediate.dense",
    "reduce": "output.dense",
    "norm": "output.LayerNorm",
}

_EMBEDDING_NAMES = {
    "words": "embeddings.word_embeddings",
    "positions": "embeddings.position_embeddings",
    "types": "embeddings.token_type_embeddings",
    "norm": "embeddings.LayerNorm",
}


def load_minilm(folder: Path) -> MiniLM:
    """The encoder with the weights of a folder that holds ``config.json`` and ``model.safetensors``."""
    model = MiniLM(Sizes.read(folder / "config.json"))
    stored = load_file(folder / "model.safetensors")
    model.load_state_dict({name: stored[_stored_name(name)] for name in model.state_dict()})
    return model.eval()


def _stored_name(name: str) -> str:
    module, _, parameter = name.rpartition(".")
    if not module.startswith("layers."):
        return f"{_EMBEDDING_NAMES[module]}.{parameter}"
    _, index, inner = module.split(".", 2)
    return f"encoder.layer.{index}.{_LAYER_NAMES[inner]}.{parameter}"
