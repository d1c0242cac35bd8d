"""The metrics of the comparison in plain NumPy: the same few lines score every tool. Better when higher, all of them.

Imported by the drivers, so it must run on Python 3.10 and may not import autoq.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers.neutral import Arrays, Samples, Task

Run = Callable[[Arrays], Sequence[NDArray[Any]]]
"""Inputs of one batch to the model's outputs."""

Predictions = NDArray[Any]
"""One per sample: class indices, cosines or texts."""


def predict(task: Task, run: Run, samples: Samples) -> Predictions:
    """Run the model over samples in the task's batches, and decode."""
    return np.concatenate([decode(task, run(batch.inputs), batch) for batch in samples.batches(task.batch_size)])


def decode(task: Task, outputs: Sequence[NDArray[Any]], batch: Samples) -> Predictions:
    """Predictions of one batch."""
    first = outputs[0]
    if task.decode == "argmax":
        return np.asarray(first.argmax(axis=-1))
    if task.decode == "pair_cosine":
        return _pair_cosine(mean_pooled(first, batch.inputs["attention_mask"]))
    if task.decode == "ctc_greedy":
        return np.array(_ctc_greedy(first, task.alphabet))
    raise ValueError(f"unknown decoding '{task.decode}'")


def score(task: Task, predictions: Predictions, labels: NDArray[Any]) -> float:
    """The metric over all samples. For ``agreement`` the labels are fp32's predictions."""
    if task.metric in ("accuracy", "agreement"):
        return float(np.mean(predictions == labels))
    if task.metric == "spearman":
        return _spearman(predictions, labels)
    if task.metric == "character_accuracy":
        return 1.0 - sum(map(edit_distance, predictions, labels)) / sum(map(len, labels))
    raise ValueError(f"unknown metric '{task.metric}'")


def per_sample(task: Task, predictions: Predictions, labels: NDArray[Any]) -> list[float] | None:
    """One score per sample; None for a correlation, which has none."""
    if task.metric == "spearman":
        return None
    if task.metric == "character_accuracy":
        return [1.0 - edit_distance(p, t) / max(len(t), 1) for p, t in zip(predictions, labels)]  # noqa: B905
    return [float(hit) for hit in predictions == labels]


def mean_pooled(tokens: NDArray[Any], mask: NDArray[Any]) -> NDArray[Any]:
    """``[rows, tokens, width]`` to ``[rows, width]``: the mean of the tokens whose mask is not 0."""
    weights = (mask != 0).astype(tokens.dtype)[..., None]
    return np.asarray((tokens * weights).sum(axis=1) / np.maximum(weights.sum(axis=1), 1))


def edit_distance(first: str, second: str) -> int:
    """Levenshtein's distance: the least number of insertions, deletions and substitutions (Wagner and Fischer 1974)."""
    row = list(range(len(second) + 1))
    for i, a in enumerate(first, start=1):
        diagonal, row[0] = row[0], i
        for j, b in enumerate(second, start=1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (a != b))
    return row[-1]


def _pair_cosine(rows: NDArray[Any]) -> NDArray[Any]:
    rows = rows.astype(np.float64)
    rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-30)
    return np.asarray((rows[0::2] * rows[1::2]).sum(axis=1))


def _ctc_greedy(scores: NDArray[Any], alphabet: Sequence[str]) -> list[str]:
    best = scores.argmax(axis=2)
    keep = best != 0
    keep[:, 1:] &= best[:, 1:] != best[:, :-1]
    return ["".join(alphabet[c] for c in row[kept]) for row, kept in zip(best, keep)]  # noqa: B905


def _spearman(x: NDArray[Any], y: NDArray[Any]) -> float:
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        return float("nan")
    return float(np.corrcoef(_mid_ranks(x), _mid_ranks(y))[0, 1])


def _mid_ranks(values: NDArray[Any]) -> NDArray[np.float64]:
    _, group, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[group], dtype=np.float64)
