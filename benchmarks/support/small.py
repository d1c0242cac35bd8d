"""Networks of about ten quantizable ops, so small that every plan can be tried, trained on Fashion-MNIST in seconds."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.support.fashion import MODEL
from examples.onnxrt import export
from examples.onnxrt.export import export_onnx
from examples.prepared import prepare
from examples.pytorch import fashion_mnist
from examples.pytorch.training import classify, loop
from examples.pytorch.training.loop import Phase, Settings, fit

SIDE = 16
_TRAINING = Settings((Phase(0.4, SIDE),), rate=3e-3)
_CLASSES = len(fashion_mnist.CLASSES)
_ONE_STYLE: Mapping[str, Any] = {
    "model_wise": {"weight": {"granularity": "per_channel"}, "activation": {"observer": "minmax"}}
}


class Residual(nn.Module):
    """Two residual blocks, at 16 and at 8 pixels."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, width, 3, padding=1)
        self.first = nn.ModuleList([nn.Conv2d(width, width, 3, padding=1) for _ in range(2)])
        self.down = nn.Conv2d(width, 2 * width, 3, stride=2, padding=1)
        self.second = nn.ModuleList([nn.Conv2d(2 * width, 2 * width, 3, padding=1) for _ in range(2)])
        self.head = nn.Linear(2 * width, _CLASSES)

    def forward(self, image: Tensor) -> Tensor:
        features = torch.relu(self.stem(image))
        features = torch.relu(features + self.first[1](torch.relu(self.first[0](features))))
        features = torch.relu(self.down(features))
        features = torch.relu(features + self.second[1](torch.relu(self.second[0](features))))
        logits: Tensor = self.head(features.mean((2, 3)))
        return logits


class Dense(nn.Module):
    """Fully connected layers of decreasing width."""

    def __init__(self, widths: tuple[int, ...] = (SIDE * SIDE, 768, 512, 512, 384, 256, _CLASSES)) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(a, b) for a, b in itertools.pairwise(widths)])

    def forward(self, image: Tensor) -> Tensor:
        features = image.flatten(1)
        for layer in self.layers[:-1]:
            features = torch.relu(layer(features))
        logits: Tensor = self.layers[-1](features)
        return logits


class Attention(nn.Module):
    """One transformer block (Vaswani et al. 2017) over 16 patches of 4 × 4 pixels."""

    def __init__(self, width: int = 128, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.embed = nn.Linear(16, width)
        self.positions = nn.Parameter(torch.randn(16, width) * 0.02)
        self.before, self.between, self.after = (nn.LayerNorm(width) for _ in range(3))
        self.together = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.head = nn.Linear(width, _CLASSES)

    def forward(self, image: Tensor) -> Tensor:
        patches = image.reshape(-1, 4, 4, 4, 4).transpose(2, 3).reshape(-1, 16, 16)
        tokens = self.embed(patches) + self.positions
        shape = (-1, 16, self.heads, tokens.shape[-1] // self.heads)
        query, key, value = (
            part.reshape(shape).transpose(1, 2) for part in self.together(self.before(tokens)).chunk(3, dim=-1)
        )
        weights = torch.softmax(query @ key.transpose(-1, -2) * shape[-1] ** -0.5, dim=-1)
        tokens = tokens + self.out((weights @ value).transpose(1, 2).reshape(tokens.shape))
        tokens = tokens + self.down(torch.relu(self.up(self.between(tokens))))
        logits: Tensor = self.head(self.after(tokens).mean(1))
        return logits


@dataclass(frozen=True)
class Small:
    """One of the networks.

    Attributes:
        factory: Makes it.
        rules: Section ``quantization`` of its job: what leaves two or three choices for an op.
        samples: Pictures to score a plan on: the fewer answers int8 changes, the more.
    """

    factory: Callable[[], nn.Module]
    rules: Mapping[str, Any] = field(default_factory=lambda: _ONE_STYLE)
    samples: int = 5000


_FLOAT: Mapping[str, Any] = {"activation": {"dtype": "fp32"}}

SMALL: Mapping[str, Small] = {
    "residual": Small(Residual, samples=1000),
    "dense": Small(Dense, {**_ONE_STYLE, "approach": "post_training_auto_quant"}),
    "attention": Small(
        Attention,
        {
            **_ONE_STYLE,
            "approach": "post_training_auto_quant",
            "op_wise": {"MatMul": _FLOAT, "MatMul_2": _FLOAT},  # of activations: three choices for the others
        },
    ),
}


def small(name: str) -> Path:
    """The ONNX file of a network, trained now unless it is there.

    Raises:
        AssetError: The data could not be fetched.
    """
    recipe = tuple(Path(module.__file__) for module in (export, fashion_mnist, classify, loop))
    facts = {"network": inspect.getsource(SMALL[name].factory), "training": repr(_TRAINING), "torch": torch.__version__}
    return prepare(f"benchmarks/{name}", recipe, partial(_build, name), facts) / MODEL


def _build(name: str, folder: Path) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = SMALL[name].factory()
    fit(model, classify.problem(), _TRAINING, print)
    print(f"{name}: {classify.accuracy(model, SIDE):.3f} of the test pictures are named rightly")
    export_onnx(model.eval(), {"image": torch.zeros(2, 1, SIDE, SIDE)}, ["logits"], folder / MODEL)
