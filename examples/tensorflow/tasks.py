"""Which network is trained on what, and with which settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from examples import fashion_mnist
from examples.assets import ASSETS
from examples.pytorch import sentences
from examples.tensorflow import classifier, mobilenet, problems, resnet, text, training
from examples.tensorflow.training import Phase, Problem, Settings


@dataclass(frozen=True)
class Task:
    """One network to train.

    Attributes:
        network: Makes the Keras model for pictures of a side.
        problem: Reads the training data.
        score: Accuracy of the trained model on the test data, at a side.
        asset: Package that the data comes from.
        recipe: Files of code that decide the weights.
        cycles: Settings of the training: one after the other, each with a learning-rate cycle of its own.
    """

    network: Callable[[int], Any]
    problem: Callable[[], Problem]
    score: Callable[[Any, int], float]
    asset: str
    recipe: tuple[Path, ...]
    cycles: tuple[Settings, ...]

    @property
    def side(self) -> int:
        """Side of the pictures the trained network takes; 0 where it takes none."""
        return self.cycles[-1].phases[-1].side

    def facts(self) -> dict[str, str]:
        """What decides the weights beside the recipe."""
        return {"data": ASSETS[self.asset].sha256, "cycles": repr(self.cycles), "keras": keras.__version__}


def _files(*modules: Any) -> tuple[Path, ...]:
    return tuple(Path(module.__file__) for module in modules)


def _pictures(network: Callable[[int], Any], module: Any, *cycles: Settings) -> Task:
    recipe = _files(module, fashion_mnist, problems, training)
    return Task(network, problems.Pictures, problems.picture_accuracy, "fashion-mnist", recipe, cycles)


def _text(side: int) -> Any:  # noqa: ARG001
    return text.text()


# Small pictures first: a step at 112 pixels takes ten times as long as one at 32.
TASKS: Mapping[str, Task] = {
    "resnet18": _pictures(
        resnet.resnet18,
        resnet,
        Settings((Phase(1.6, 32), Phase(0.25, 64), Phase(0.12, 112)), batch=64, rate=0.1),
        Settings((Phase(0.15, 112),), batch=32, rate=0.03, seed=1),
    ),
    "mobilenet_v2": _pictures(
        mobilenet.mobilenet_v2,
        mobilenet,
        Settings(
            (Phase(2.0, 40), Phase(0.35, 64), Phase(0.12, 112)), batch=64, rate=3e-3, decay=0.02, optimizer="adamw"
        ),
        Settings((Phase(0.15, 112),), batch=32, rate=1.5e-3, decay=0.02, optimizer="adamw", seed=1),
    ),
    "classifier": _pictures(classifier.classifier, classifier, Settings((Phase(1.5, 28),), batch=64, rate=0.05)),
    "text": Task(
        _text,
        problems.Sentences,
        problems.sentence_accuracy,
        "sentences",
        _files(text, sentences, problems, training),
        (Settings((Phase(2.5),), batch=64, rate=1e-3, decay=0.05, optimizer="adamw"),),
    ),
}
"""Every network by name, those that take longest first."""
