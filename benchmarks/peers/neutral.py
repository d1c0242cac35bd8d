"""A task as every tool reads it: a folder with a model, three sets of samples, and ``task.json``. NumPy only.

``calibration.npz``, ``tune.npz`` and ``held_out.npz`` hold one array per model input, under the input's name, and
the labels under ``labels`` where the metric takes any. Imported by the drivers, so it must run on Python 3.10 and
may not import autoq.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

MODEL = "model.onnx"
DESCRIPTION = "task.json"
LABELS = "labels"
SETS = ("calibration", "tune", "held_out")

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Task:
    """What is the same for every tool.

    Attributes:
        name: Name of the task.
        inputs: Names of the model's inputs.
        rows_per_sample: Rows of the model's batch axis that make one sample.
        metric: ``accuracy``, ``agreement`` (with fp32, no labels), ``spearman`` or ``character_accuracy``.
        decode: From outputs to predictions: ``argmax``, ``pair_cosine`` (of mean-pooled tokens) or ``ctc_greedy``.
        alphabet: Symbols by class, for ``ctc_greedy``; the blank first.
        tolerance: Whether a limit is ``relative`` to the fp32 score or ``absolute``.
        approach: ``static``, or ``auto`` where matrix products may be static or dynamic.
        transformer: Whether the model is one; NNCF wants to be told.
        batch_size: Samples per run while accuracy is measured.
        latency_batch: Samples per run while latency is measured.
    """

    name: str
    inputs: tuple[str, ...]
    metric: str
    decode: str = "argmax"
    rows_per_sample: int = 1
    alphabet: tuple[str, ...] = ()
    tolerance: str = "relative"
    approach: str = "static"
    transformer: bool = False
    batch_size: int = 1
    latency_batch: int = 1

    def allowed_drop(self, limit: float, baseline: float) -> float:
        """The limit in the metric's own unit; every metric here is better when higher."""
        return limit if self.tolerance == "absolute" else limit * abs(baseline)

    def loss(self, score: float, baseline: float) -> float:
        """How much worse a score is than fp32's, in the unit of the limit."""
        drop = baseline - score
        return drop if self.tolerance == "absolute" else drop / abs(baseline)


@dataclass(frozen=True)
class Samples:
    """Some samples: input arrays by name, and labels."""

    inputs: Arrays
    labels: NDArray[Any] | None
    rows_per_sample: int

    def __len__(self) -> int:
        return len(next(iter(self.inputs.values()))) // self.rows_per_sample

    def batches(self, size: int) -> Iterator[Samples]:
        """In order, `size` samples each, the last one smaller."""
        for start in range(0, len(self), size):
            yield self.part(start, min(start + size, len(self)))

    def part(self, start: int, stop: int) -> Samples:
        """Samples ``start`` to ``stop``."""
        rows = slice(start * self.rows_per_sample, stop * self.rows_per_sample)
        labels = None if self.labels is None else self.labels[start:stop]
        return Samples({name: array[rows] for name, array in self.inputs.items()}, labels, self.rows_per_sample)


def write_task(folder: Path, task: Task) -> None:
    """Write ``task.json``."""
    text = json.dumps(asdict(task), indent=1, ensure_ascii=False)
    (folder / DESCRIPTION).write_text(text + "\n", encoding="utf-8")


def read_task(folder: Path) -> Task:
    """What ``task.json`` says."""
    body = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
    return Task(**{**body, "inputs": tuple(body["inputs"]), "alphabet": tuple(body["alphabet"])})


def write_samples(folder: Path, name: str, inputs: Arrays, labels: NDArray[Any] | None = None) -> None:
    """Write one of the three sets."""
    arrays: dict[str, Any] = inputs if labels is None else {**inputs, LABELS: labels}
    np.savez(folder / f"{name}.npz", **arrays)


def read_samples(folder: Path, name: str, task: Task) -> Samples:
    """One of the three sets."""
    with np.load(folder / f"{name}.npz") as arrays:
        labels = arrays[LABELS] if LABELS in arrays.files else None
        return Samples({name: arrays[name] for name in task.inputs}, labels, task.rows_per_sample)
