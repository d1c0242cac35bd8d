"""Metrics of predicted classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from autoq.core.batch import Array, Batch
from autoq.core.errors import DataError, EvaluationError
from autoq.core.records import Records
from autoq.evaluation.metrics.base import (
    Floats,
    MeanMetric,
    SetMetric,
    check_count,
    finite,
    numeric_labels,
    single_output,
)

IGNORED = -100
"""Label of positions that do not count, as in PyTorch's losses."""


def integral(array: Array, what: str) -> NDArray[np.int64]:
    """Whole numbers as int64.

    Raises:
        DataError: A value is not whole.
    """
    with np.errstate(invalid="ignore"):
        whole = array.astype(np.int64)
    if array.dtype.kind == "f" and not np.array_equal(whole, array):
        raise DataError(f"{what} must be whole numbers, e.g. class indices")
    return whole


def _class_labels(batch: Batch, shape: tuple[int, ...], name: str) -> NDArray[np.int64]:
    labels = integral(numeric_labels(batch, name), f"labels of metric '{name}'")
    if labels.ndim == len(shape) + 1 and labels.shape[-1] == 1:
        labels = labels[..., 0]
    if labels.shape != shape:
        raise DataError(
            f"metric '{name}' takes labels of shape {shape} for these predictions, not {labels.shape}",
            hint="labels are class indices, one per prediction (not one-hot)",
        )
    return labels


def _check_range(labels: NDArray[np.int64], classes: int, name: str) -> None:
    valid = labels != IGNORED
    outside = valid & ((labels < 0) | (labels >= classes))
    if outside.any():
        worst = int(labels[outside][0])
        raise DataError(
            f"metric '{name}': label {worst} lies outside of the model's {classes} classes (0 to {classes - 1})",
            hint="do labels or classes start at 1, or does the model have a background class?",
        )


@dataclass(frozen=True)
class TopK(MeanMetric):
    """Share of samples whose label is among the `k` largest class scores.

    Predictions are class scores ``[samples, classes]`` with labels ``[samples]``; for sequences and pixels
    ``[samples, ..., classes]`` with labels ``[samples, ...]``, where a sample's score is the share of its
    positions and the label -100 does not count. With k = 1 predictions may also be class indices.
    """

    k: int = 1

    def records(self, predictions: Any, batch: Batch) -> Records:
        """One row: the sample's share of hits."""
        scores = single_output(predictions, self.name)
        check_count(len(scores) if scores.ndim else 0, batch, self.name)
        if self.k == 1 and scores.dtype.kind in "iub":
            labels = _class_labels(batch, scores.shape, self.name)
            hits = scores.astype(np.int64) == labels
        else:
            if scores.ndim < 2 or scores.shape[-1] < 2:
                raise EvaluationError(
                    f"metric '{self.name}' takes class scores [samples, classes] or class indices (integers), "
                    f"not floats of shape {scores.shape}"
                )
            labels = _class_labels(batch, scores.shape[:-1], self.name)
            classes = scores.shape[-1]
            _check_range(labels, classes, self.name)
            if self.k >= classes:
                raise EvaluationError(f"metric '{self.name}': k = {self.k} is always right for {classes} classes")
            hits = _hits(scores, labels, self.k)
        counts = (labels != IGNORED).reshape(len(labels), -1)
        hit_rows = hits.reshape(len(labels), -1) & counts
        totals = counts.sum(axis=1)
        if (totals == 0).any():
            raise DataError(f"metric '{self.name}': a sample has no label that counts (all are {IGNORED})")
        return Records.of_rows(hit_rows.sum(axis=1) / totals)


def _hits(scores: Array, labels: NDArray[np.int64], k: int) -> NDArray[np.bool_]:
    if k == 1:
        return np.asarray(scores.argmax(axis=-1) == labels)
    chosen = np.argsort(-scores, axis=-1, kind="stable")[..., :k]
    return np.asarray((chosen == labels[..., None]).any(axis=-1))


@dataclass(frozen=True)
class F1(SetMetric):
    """F1 score of predicted classes (`sklearn.metrics.f1_score`).

    Attributes:
        average: ``macro``, ``micro``, ``weighted``, or ``binary`` for the F1 of class 1.
    """

    average: str = "macro"
    resample_overhead: ClassVar[int] = 15_000

    def records(self, predictions: Any, batch: Batch) -> Records:
        """One row per position: predicted class, label."""
        classes = class_indices(single_output(predictions, self.name), self.name)
        check_count(len(classes), batch, self.name)
        labels = _class_labels(batch, classes.shape, self.name)
        pairs = np.stack([classes.reshape(len(labels), -1), labels.reshape(len(labels), -1)], axis=-1)
        return Records.of_ragged([p[p[:, 1] != IGNORED] for p in pairs], 2)

    def score(self, records: Records, reference: Records) -> float:
        """F1 over all positions."""
        del reference
        from sklearn.metrics import f1_score

        pairs = records.values.astype(np.int64)
        if not len(pairs):
            raise EvaluationError(f"metric '{self.name}' has no samples to score")
        try:
            value = f1_score(pairs[:, 1], pairs[:, 0], average=self.average, zero_division=0.0)
        except ValueError as error:
            raise EvaluationError(f"metric '{self.name}': {error}") from error
        return finite(float(value), self.name)


def class_indices(predictions: Array, name: str) -> NDArray[np.int64]:
    """Class indices from indices (integers) or class scores ``[..., classes]``."""
    if predictions.dtype.kind in "iub":
        return predictions.astype(np.int64)
    if predictions.ndim < 2 or predictions.shape[-1] < 2:
        raise EvaluationError(
            f"metric '{name}' takes class scores [samples, classes] or class indices (integers), "
            f"not floats of shape {predictions.shape}",
            hint="one score per sample is a probability: use roc_auc or log_loss",
        )
    return np.asarray(predictions.argmax(axis=-1), dtype=np.int64)


@dataclass(frozen=True)
class Agreement(MeanMetric):
    """Top-1 agreement with fp32: the share of positions where both name the same class. Needs no labels.

    Predictions are class scores ``[samples, ..., classes]`` (or class indices); with several outputs all count.

    Attributes:
        axis: Axis of the classes.
        threshold: For outputs of one number per position: the class is ``value > threshold``.
    """

    compares_with_fp32: ClassVar[bool] = True
    axis: int = -1
    threshold: float | None = None

    def records(self, predictions: Any, batch: Batch) -> Records:
        """The sample's class indices, one row per position."""
        outputs = list(predictions.values()) if isinstance(predictions, Mapping) else [predictions]
        parts = [self._indices(output, batch) for output in outputs]
        return Records.of_ragged([np.concatenate([np.ravel(p[i]) for p in parts]) for i in range(batch.samples)], 1)

    def _indices(self, output: Any, batch: Batch) -> list[Array]:
        # A list holds samples of different length, e.g. decoded sequences: already class indices.
        if isinstance(output, list):
            check_count(len(output), batch, self.name)
            return [_codes(sample, self.name) for sample in output]
        array = single_output(output, self.name)
        check_count(len(array) if array.ndim else 0, batch, self.name)
        if self.threshold is not None:
            return list((array > self.threshold).astype(np.int64))
        if array.dtype.kind in "iub":
            return list(array)
        if array.ndim < 2 or array.shape[self.axis] < 2:
            raise EvaluationError(
                f"metric '{self.name}' takes class scores [samples, classes], not shape {array.shape}",
                hint="for one number per sample give the argument threshold, or use mse against fp32's outputs",
            )
        return list(array.argmax(axis=self.axis))

    def per_sample(self, records: Records, reference: Records) -> Floats | None:
        """Share of equal positions; a position that only one of both has counts as unequal."""
        if len(records) != len(reference):
            raise EvaluationError(
                f"metric '{self.name}': {len(records)} samples against {len(reference)} samples of fp32"
            )
        if np.array_equal(records.offsets, reference.offsets):
            if records.is_flat:
                return np.asarray(records.values[:, 0] == reference.values[:, 0], dtype=np.float64)
            return _segment_means(records.values[:, 0] == reference.values[:, 0], records.offsets)
        return np.array([_position_agreement(records[i], reference[i]) for i in range(len(records))])


def _codes(sample: Any, name: str) -> Array:
    if isinstance(sample, str):
        return np.array([ord(c) for c in sample], dtype=np.int64)
    array = np.asarray(sample)
    if array.dtype.kind not in "iub":
        raise EvaluationError(f"metric '{name}' takes a list of strings or of integer sequences, not {array.dtype}")
    return array


def _segment_means(equal: NDArray[np.bool_], offsets: NDArray[np.int64]) -> Floats:
    sums = np.diff(np.concatenate([[0], np.cumsum(equal)])[offsets])
    counts = np.diff(offsets)
    return np.where(counts == 0, 1.0, sums / np.maximum(counts, 1))


def _position_agreement(ours: Floats, theirs: Floats) -> float:
    longest, shortest = max(len(ours), len(theirs)), min(len(ours), len(theirs))
    if longest == 0:
        return 1.0
    return float((ours[:shortest, 0] == theirs[:shortest, 0]).sum() / longest)
