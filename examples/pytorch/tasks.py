"""Which network is trained on what, and with which settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from examples.assets import ASSETS
from examples.pytorch import detection, detector, fashion_mnist, lstm, mobilenet, resnet, scenes, sentences, unet
from examples.pytorch.training import classify, detect, loop, segment, text
from examples.pytorch.training.loop import Phase, Problem, Settings


@dataclass(frozen=True)
class Task:
    """One network to train.

    Attributes:
        factory: Makes the network.
        arguments: Its keyword arguments.
        problem: Reads the training data.
        score: Figure of the trained network on the test data.
        metric: What that figure is.
        asset: Package that the data comes from.
        recipe: Files of code that decide the weights.
        cycles: Settings of the training: one after the other, each with a learning-rate cycle of its own.
    """

    factory: Callable[..., nn.Module]
    arguments: Mapping[str, Any]
    problem: Callable[[], Problem]
    score: Callable[[nn.Module], float]
    metric: str
    asset: str
    recipe: tuple[Path, ...]
    cycles: tuple[Settings, ...]

    def model(self) -> nn.Module:
        """The network as its factory makes it."""
        return self.factory(**self.arguments)

    def facts(self) -> dict[str, str]:
        """What decides the weights beside the recipe and PyTorch's version."""
        return {
            "data": ASSETS[self.asset].sha256,
            "arguments": repr(sorted(self.arguments.items())),
            "cycles": repr(self.cycles),
        }


def _files(*modules: Any) -> tuple[Path, ...]:
    return tuple(Path(module.__file__) for module in modules)


def _classifier(factory: Callable[..., nn.Module], module: Any, *cycles: Settings) -> Task:
    return Task(
        factory,
        {"num_classes": 10, "in_channels": 1},
        classify.problem,
        partial(classify.accuracy, side=cycles[-1].phases[-1].side),
        "top-1 accuracy",
        "fashion-mnist",
        _files(module, fashion_mnist, classify, loop),
        cycles,
    )


def _sgd(rate: float, *phases: Phase, seed: int = 0) -> Settings:
    return Settings(phases, rate=rate, decay=5e-4, optimizer="sgd", seed=seed)


TASKS: Mapping[str, Task] = {
    "resnet18": _classifier(resnet.resnet18, resnet, _sgd(0.2, Phase(1.6, 32)), _sgd(0.05, Phase(0.8, 32), seed=1)),
    # Of 40 pixels, 2×2 steps are left at the end; of 32, a single one, and far less is learned.
    "mobilenet_v2": _classifier(mobilenet.mobilenet_v2, mobilenet, Settings((Phase(2.5, 40),))),
    "resnet50": _classifier(resnet.resnet50, resnet, _sgd(0.05, Phase(0.2, 32))),
    "detector": Task(
        detector.detector,
        {"num_classes": 10, "in_channels": 1},
        detect.problem,
        detect.average_precision,
        "mean average precision",
        "fashion-mnist",
        _files(detector, detection, resnet, scenes, fashion_mnist, detect, loop),
        (Settings((Phase(4),), batch=32, rate=2e-3),),
    ),
    "unet": Task(
        unet.unet,
        {"num_classes": scenes.BACKGROUND + 1, "in_channels": 1, "width": 12, "levels": 3},
        segment.problem,
        segment.accuracy,
        "pixel accuracy",
        "fashion-mnist",
        _files(unet, scenes, fashion_mnist, segment, loop),
        (Settings((Phase(3),), batch=32, rate=4e-3),),
    ),
    "lstm": Task(
        lstm.lstm,
        {"vocabulary": sentences.VOCABULARY},
        text.problem,
        text.accuracy,
        "accuracy",
        "sentences",
        _files(lstm, sentences, text, loop),
        (Settings((Phase(4),), batch=64, rate=4e-3, decay=0.05),),
    ),
}
"""Every network by name."""
