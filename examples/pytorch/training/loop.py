"""The one training loop: AdamW or SGD with a single learning-rate cycle (Smith and Topin 2017), seeded."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor, nn

Say = Callable[[str], None]
"""Takes one line of progress."""


@dataclass(frozen=True)
class Phase:
    """A part of the training.

    Attributes:
        epochs: Passes over the samples; fractions are allowed.
        side: Side of the pictures in pixels, for tasks that can choose; small ones first save time.
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
        optimizer: ``adamw``, or ``sgd`` with Nesterov momentum.
        seed: Of everything random.
    """

    phases: tuple[Phase, ...]
    batch: int = 128
    rate: float = 4e-3
    decay: float = 0.02
    optimizer: Literal["adamw", "sgd"] = "adamw"
    seed: int = 0


class Problem(Protocol):
    """Data and loss of one task."""

    samples: int

    def enter(self, phase: Phase) -> None:
        """A phase begins."""

    def loss(self, model: nn.Module, chosen: Tensor) -> Tensor:
        """Mean loss of the samples with these numbers."""


def fit(model: nn.Module, problem: Problem, settings: Settings, say: Say) -> float:
    """Train `model` in place and leave it in evaluation mode; returns the seconds it took.

    The global random state is as before.
    """
    started = time.perf_counter()
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(settings.seed)
        # Convolutions of small channel counts, depthwise ones above all, run about twice as fast channels last.
        model.to(memory_format=torch.channels_last).train()
        _run(model, problem, settings, _Progress(_total_steps(problem, settings), say))
    model.to(memory_format=torch.contiguous_format).eval()
    return time.perf_counter() - started


def _run(model: nn.Module, problem: Problem, settings: Settings, progress: _Progress) -> None:
    optimizer = _optimizer(model, settings)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.rate, progress.total, pct_start=0.2, anneal_strategy="linear", final_div_factor=1e3
    )
    order = _Order(problem.samples, settings.batch)
    for phase in settings.phases:
        problem.enter(phase)
        for _ in range(_steps(phase, problem, settings)):
            loss = problem.loss(model, order.next())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            progress.step(loss)


class _Order:
    """Batches of sample numbers, shuffled anew for each pass; an incomplete last batch is left out."""

    def __init__(self, samples: int, batch: int) -> None:
        self._samples, self._batch = samples, min(batch, samples)
        self._left = torch.empty(0, dtype=torch.int64)

    def next(self) -> Tensor:
        if len(self._left) < self._batch:
            self._left = torch.randperm(self._samples)
        chosen, self._left = self._left[: self._batch], self._left[self._batch :]
        return chosen


class _Progress:
    """Says about twenty times how far the training is."""

    def __init__(self, total: int, say: Say) -> None:
        self.total = total
        self._say, self._done, self._started = say, 0, time.perf_counter()

    def step(self, loss: Tensor) -> None:
        self._done += 1
        if self._done % math.ceil(self.total / 20) == 0 or self._done == self.total:
            spent = time.perf_counter() - self._started
            left = spent / self._done * (self.total - self._done)
            self._say(f"step {self._done}/{self.total}, loss {loss.item():.3f}, {spent:.0f} s, {left:.0f} s to go")


def _optimizer(model: nn.Module, settings: Settings) -> torch.optim.Optimizer:
    groups = [
        {"params": [p for p in model.parameters() if p.ndim > 1], "weight_decay": settings.decay},
        {"params": [p for p in model.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if settings.optimizer == "sgd":
        return torch.optim.SGD(groups, settings.rate, momentum=0.9, nesterov=True)
    return torch.optim.AdamW(groups, settings.rate)


def _steps(phase: Phase, problem: Problem, settings: Settings) -> int:
    return max(1, int(phase.epochs * problem.samples / settings.batch))


def _total_steps(problem: Problem, settings: Settings) -> int:
    return sum(_steps(phase, problem, settings) for phase in settings.phases)
