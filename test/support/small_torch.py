"""Tiny PyTorch models with random weights, one per structure that quantization has to cope with, and their inputs.

Every factory returns a module in evaluation mode with the same weights each time, and leaves the global random state
alone. Batch norms hold random statistics, so that folding them wrongly shows.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from autoq.core.batch import Batch, Inputs

VOCABULARY = 64
LENGTH = 12


def _seeded(build: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
    @functools.wraps(build)
    def factory(*arguments: Any, **keywords: Any) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(20_260)
            model = build(*arguments, **keywords).eval()
            for module in model.modules():
                if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                    _randomize(module)
        return model

    return factory


def _randomize(norm: nn.BatchNorm1d | nn.BatchNorm2d) -> None:
    with torch.no_grad():
        norm.weight.uniform_(0.6, 1.4)
        norm.bias.normal_(0, 0.2)
        norm.running_mean.normal_(0, 0.2)
        norm.running_var.uniform_(0.4, 1.6)


class _Block(nn.Module):
    """Depthwise and pointwise convolution with a residual connection."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu1 = nn.ReLU()
        self.pointwise = nn.Conv2d(channels, channels, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.relu2 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu1(self.bn1(self.depthwise(x)))
        y = self.bn2(self.pointwise(y))
        return self.relu2(y + x)


class SmallCnn(nn.Module):
    """``[n, 3, 16, 16]`` to ten class scores."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.relu = nn.ReLU(inplace=True)
        self.layer1 = nn.Sequential(_Block(16), _Block(16))
        self.conv2 = nn.Conv2d(16, 32, 3, stride=2, padding=1)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(32, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer1(self.relu(self.bn1(self.conv1(x))))
        x = torch.relu(self.conv2(x))
        return self.fc(torch.flatten(self.pool(x), 1))


class _Attention(nn.Module):
    """Two heads, written with matmul and softmax, traceable symbolically."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.scale = (width // heads) ** -0.5
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.output = nn.Linear(width, width)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        query, key, value = (self._split(layer(x)) for layer in (self.query, self.key, self.value))
        weights = torch.softmax(torch.matmul(query, key.transpose(-1, -2)) * self.scale + bias, dim=-1)
        return self.output(torch.matmul(weights, value).transpose(1, 2).flatten(2))

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class _Layer(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.attention = _Attention(width, 2)
        self.norm1 = nn.LayerNorm(width)
        self.expand = nn.Linear(width, 2 * width)
        self.reduce = nn.Linear(2 * width, width)
        self.norm2 = nn.LayerNorm(width)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        x = self.norm1(self.attention(x, bias) + x)
        return self.norm2(self.reduce(nn.functional.gelu(self.expand(x))) + x)


class SmallTransformer(nn.Module):
    """Token ids and mask ``[n, length]`` to hidden states ``[n, length, 32]``."""

    def __init__(self, width: int = 32, layers: int = 2) -> None:
        super().__init__()
        self.words = nn.Embedding(VOCABULARY, width)
        self.positions = nn.Embedding(LENGTH, width)
        self.norm = nn.LayerNorm(width)
        self.layers = nn.ModuleList(_Layer(width) for _ in range(layers))

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        positions = torch.arange(input_ids.shape[1])
        x = self.norm(self.words(input_ids) + self.positions(positions))
        bias = (1.0 - attention_mask[:, None, None, :].to(x.dtype)) * -10_000.0
        for layer in self.layers:
            x = layer(x, bias)
        return x


class SmallLstm(nn.Module):
    """Token ids ``[n, length]`` to two class scores."""

    def __init__(self, bidirectional: bool = False) -> None:
        super().__init__()
        self.words = nn.Embedding(VOCABULARY, 24)
        self.lstm = nn.LSTM(24, 32, batch_first=True, bidirectional=bidirectional)
        self.fc = nn.Linear(64 if bidirectional else 32, 2)

    def forward(self, input_ids: Tensor) -> Tensor:
        states, _ = self.lstm(self.words(input_ids))
        return self.fc(states.mean(dim=1))


class SmallUnet(nn.Module):
    """``[n, 3, 16, 16]`` to two class scores per pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.down1 = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.down2 = nn.Sequential(nn.Conv2d(8, 16, 3, stride=2, padding=1), nn.BatchNorm2d(16), nn.ReLU())
        self.up = nn.ConvTranspose2d(16, 8, 2, stride=2)
        self.merge = nn.Sequential(nn.Conv2d(16, 8, 3, padding=1), nn.ReLU())
        self.head = nn.Conv2d(8, 2, 1)

    def forward(self, image: Tensor) -> Tensor:
        fine = self.down1(image)
        coarse = self.down2(fine)
        return self.head(self.merge(torch.cat([self.up(coarse), fine], dim=1)))


class SmallDetector(nn.Module):
    """``[n, 3, 16, 16]`` to class scores and boxes of two levels, as a dict or nested in a tuple."""

    def __init__(self, form: Literal["dict", "tuple"] = "dict") -> None:
        super().__init__()
        self.form = form
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, stride=2, padding=1), nn.BatchNorm2d(16), nn.ReLU())
        self.down = nn.Sequential(nn.Conv2d(16, 16, 3, stride=2, padding=1), nn.ReLU())
        self.classes = nn.ModuleList(nn.Conv2d(16, 3, 3, padding=1) for _ in range(2))
        self.boxes = nn.ModuleList(nn.Conv2d(16, 4, 3, padding=1) for _ in range(2))

    def forward(self, image: Tensor) -> Any:
        fine = self.stem(image)
        levels = (fine, self.down(fine))
        classes = [head(level) for head, level in zip(self.classes, levels, strict=True)]
        boxes = [head(level) for head, level in zip(self.boxes, levels, strict=True)]
        if self.form == "tuple":
            return tuple(zip(classes, boxes, strict=True))
        return {"classes": classes, "boxes": boxes}


class SharedWeights(nn.Module):
    """A language model whose output layer is its embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(VOCABULARY, 16)
        self.hidden = nn.Linear(16, 16)
        self.head = nn.Linear(16, VOCABULARY, bias=False)
        self.head.weight = self.words.weight

    def forward(self, input_ids: Tensor) -> Tensor:
        return self.head(torch.relu(self.hidden(self.words(input_ids))))


class CalledTwice(nn.Module):
    """One convolution called twice, on inputs of different range, and one ReLU everywhere."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.again = nn.Conv2d(8, 8, 3, padding=1)
        self.relu = nn.ReLU()
        self.fc = nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.first(x))
        x = self.relu(self.again(x))
        x = self.relu(self.again(3 * x))
        return self.fc(x.mean(dim=(2, 3)))


class Untraceable(nn.Module):
    """The way through depends on the data."""

    def __init__(self) -> None:
        super().__init__()
        self.large = nn.Linear(16, 10)
        self.small = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        if x.abs().mean() > 1:
            return self.large(x)
        return self.small(x)


class NoQuantizable(nn.Module):
    """Arithmetic only."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(x) * 2 + 1


small_cnn = _seeded(SmallCnn)
small_transformer = _seeded(SmallTransformer)
small_lstm = _seeded(SmallLstm)
small_unet = _seeded(SmallUnet)
small_detector = _seeded(SmallDetector)
shared_weights = _seeded(SharedWeights)
called_twice = _seeded(CalledTwice)
untraceable = _seeded(Untraceable)
no_quantizable = _seeded(NoQuantizable)


@_seeded
def small_mlp() -> nn.Module:
    """``[n, 16]`` to ten class scores."""
    return nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 10))


FACTORIES: dict[str, Callable[..., nn.Module]] = {
    "small_mlp": small_mlp,
    "small_cnn": small_cnn,
    "small_transformer": small_transformer,
    "small_lstm": small_lstm,
    "small_unet": small_unet,
    "small_detector": small_detector,
    "shared_weights": shared_weights,
    "called_twice": called_twice,
    "untraceable": untraceable,
    "no_quantizable": no_quantizable,
}
"""Every factory by name."""

_IMAGES = {"small_cnn", "small_unet", "small_detector", "called_twice"}
_TOKENS = {"small_lstm", "shared_weights"}


def inputs_for(name: str, samples: int = 4, seed: int = 0) -> Inputs:
    """One batch of inputs for a model, as its factory is called: arrays by name where it takes several."""
    if name not in FACTORIES:
        raise KeyError(f"no model '{name}'; known: {', '.join(FACTORIES)}")
    rng = np.random.default_rng([seed, samples])
    if name in _IMAGES:
        return rng.normal(size=(samples, 3, 16, 16)).astype(np.float32)
    if name in _TOKENS:
        return rng.integers(VOCABULARY, size=(samples, LENGTH))
    if name == "small_transformer":
        lengths = rng.integers(4, LENGTH + 1, size=(samples, 1))
        return {
            "input_ids": rng.integers(VOCABULARY, size=(samples, LENGTH)),
            "attention_mask": (np.arange(LENGTH) < lengths).astype(np.int64),
        }
    return rng.normal(size=(samples, 16)).astype(np.float32)


def batches_for(name: str, batches: int = 3, samples: int = 4) -> list[Batch]:
    """Batches without labels, each with other numbers."""
    return [Batch(inputs_for(name, samples, seed), None, samples) for seed in range(batches)]
