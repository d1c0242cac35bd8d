"""The one training loop: SGD or AdamW with a single learning-rate cycle (Smith and Topin 2017), seeded."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import keras
import numpy as np
from numpy.typing import NDArray

Say = Callable[[str], None]
"""Takes one line of progress."""

_WARM_UP, _LEAST = 0.2, 1e-3


@dataclass(frozen=True)
class Phase:
    """A part of the training.

    Attributes:
        epochs: Passes over the samples; fractions are allowed.
        side: Side of the pictures in pixels; small ones first save time.
    """

    epochs: float
    side: int = 0


@dataclass(frozen=True)
class Settings:
    """What decides a training, beside the data and the code.

    Attributes:
        phases: One after the other; the learning rate goes through one cycle over all of them.
        batch: Samples per step.
        rate: Largest learning rate.
        decay: Weight decay, for weights but not for biases and norms.
        optimizer: ``sgd`` with Nesterov momentum, or ``adamw``.
        seed: Of everything random.
    """

    phases: tuple[Phase, ...]
    batch: int = 128
    rate: float = 0.1
    decay: float = 5e-4
    optimizer: Literal["sgd", "adamw"] = "sgd"
    seed: int = 0


class Problem(Protocol):
    """Data of one task."""

    samples: int

    def batch(self, chosen: NDArray[np.int64], side: int, rng: np.random.Generator) -> tuple[Any, Any]:
        """Inputs and classes of the samples with these numbers."""


def fit(network: Callable[[int], Any], problem: Problem, settings: Settings, say: Say, start: Any = None) -> Any:
    """A Keras model of the last phase's side, trained. Sets the global random seeds.

    Args:
        network: Makes the model for pictures of a side; its weights do not depend on the side.
        problem: Data.
        settings: What decides the training.
        say: Takes about twenty lines of progress.
        start: A model whose weights the training begins with; random ones by default.
    """
    keras.utils.set_random_seed(settings.seed)
    rng = np.random.default_rng(settings.seed)
    steps = [max(1, int(phase.epochs * problem.samples / settings.batch)) for phase in settings.phases]
    order = _Order(problem.samples, settings.batch, rng)
    model, done, started = start, 0, time.perf_counter()
    for phase, count in zip(settings.phases, steps, strict=True):
        # A new graph per side: the kernels of one graph are planned for one shape.
        weights = None if model is None else model.get_weights()
        model = network(phase.side)
        if weights is not None:
            model.set_weights(weights)
        optimizer = _optimizer(settings)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(optimizer, loss, jit_compile=False)
        for _ in range(count):
            optimizer.learning_rate = settings.rate * cycle(done / sum(steps))
            inputs, labels = problem.batch(order.next(), phase.side, rng)
            value = float(model.train_on_batch(inputs, labels))
            done += 1
            if done % math.ceil(sum(steps) / 20) == 0 or done == sum(steps):
                say(f"step {done}/{sum(steps)}, loss {value:.3f}, {time.perf_counter() - started:.0f} s")
    return model


def cycle(share: float) -> float:
    """Share of the largest learning rate at a share of the training: linearly up, then linearly down."""
    if share < _WARM_UP:
        return 0.04 + 0.96 * share / _WARM_UP
    return max(_LEAST, (1 - share) / (1 - _WARM_UP))


class _Order:
    """Batches of sample numbers, shuffled anew for each pass; an incomplete last batch is left out."""

    def __init__(self, samples: int, batch: int, rng: np.random.Generator) -> None:
        self._samples, self._batch, self._rng = samples, min(batch, samples), rng
        self._left = np.empty(0, np.int64)

    def next(self) -> NDArray[np.int64]:
        if len(self._left) < self._batch:
            self._left = self._rng.permutation(self._samples)
        chosen, self._left = self._left[: self._batch], self._left[self._batch :]
        return chosen


def _optimizer(settings: Settings) -> Any:
    if settings.optimizer == "sgd":
        made = keras.optimizers.SGD(settings.rate, momentum=0.9, nesterov=True, weight_decay=settings.decay)
    else:
        made = keras.optimizers.AdamW(settings.rate, weight_decay=settings.decay)
    made.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return made
