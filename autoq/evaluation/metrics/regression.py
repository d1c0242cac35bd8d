"""Metrics of predicted numbers and probabilities."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

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
from autoq.evaluation.metrics.classification import integral


def _pairs(predictions: Any, batch: Batch, name: str) -> tuple[Floats, Floats]:
    """Predictions and labels, each ``[samples, values]``."""
    values = single_output(predictions, name)
    check_count(len(values) if values.ndim else 0, batch, name)
    labels = numeric_labels(batch, name)
    rows = values.astype(np.float64).reshape(len(values), -1)
    targets = labels.astype(np.float64).reshape(len(labels), -1)
    if rows.shape != targets.shape:
        raise DataError(f"metric '{name}': labels of shape {labels.shape} for predictions of shape {values.shape}")
    return rows, targets


def _error_rows(kind: Literal["squared", "absolute"], predictions: Any, batch: Batch, name: str) -> Records:
    rows, targets = _pairs(predictions, batch, name)
    difference = rows - targets
    errors = np.square(difference) if kind == "squared" else np.abs(difference)
    return Records.of_rows(errors.mean(axis=1))


@dataclass(frozen=True)
class MeanError(MeanMetric):
    """Mean squared or mean absolute error; a sample's score is the mean over its values."""

    higher_is_better: bool = False
    bounds: tuple[float, float] | None = None
    kind: Literal["squared", "absolute"] = "squared"

    def records(self, predictions: Any, batch: Batch) -> Records:
        """One row: the sample's mean error."""
        return _error_rows(self.kind, predictions, batch, self.name)


@dataclass(frozen=True)
class RootMeanSquaredError(SetMetric):
    """Square root of the mean squared error over all samples."""

    higher_is_better: bool = False

    def records(self, predictions: Any, batch: Batch) -> Records:
        """One row: the sample's mean squared error."""
        return _error_rows("squared", predictions, batch, self.name)

    def score(self, records: Records, reference: Records) -> float:
        """Root of the mean."""
        del reference
        if not len(records):
            raise EvaluationError(f"metric '{self.name}' has no samples to score")
        return finite(math.sqrt(float(records.values.mean())), self.name)


@dataclass(frozen=True)
class Correlation(SetMetric):
    """Pearson's or Spearman's correlation of predictions and labels, over all samples and values."""

    kind: Literal["pearson", "spearman"] = "pearson"

    def records(self, predictions: Any, batch: Batch) -> Records:
        """One row per value: prediction, label."""
        rows, targets = _pairs(predictions, batch, self.name)
        return Records.of_ragged(list(np.stack([rows, targets], axis=-1)), 2)

    def score(self, records: Records, reference: Records) -> float:
        """Correlation coefficient; Spearman's is Pearson's of the mid-ranks."""
        del reference
        x, y = records.values[:, 0], records.values[:, 1]
        undefined = EvaluationError(
            f"metric '{self.name}' is undefined: it needs at least two samples whose predictions and labels vary"
        )
        if len(x) < 2 or (x == x[0]).all() or (y == y[0]).all():
            raise undefined
        if self.kind == "spearman":
            from scipy.stats import rankdata

            x, y = rankdata(x), rankdata(y)
        x, y = x - x.mean(), y - y.mean()
        scale = math.sqrt(float(x @ x)) * math.sqrt(float(y @ y))
        if scale == 0:
            raise undefined
        return finite(float(x @ y) / scale, self.name)


@dataclass(frozen=True)
class RocAuc(SetMetric):
    """Area under the ROC curve (`sklearn.metrics.roc_auc_score`).

    Predictions are one score per sample, or class scores; two classes use the second one's margin, more classes
    are averaged one against the rest after softmax.

    Attributes:
        average: ``macro`` or ``weighted``, for more than two classes.
    """

    average: str = "macro"
    resample_overhead: ClassVar[int] = 15_000

    def records(self, predictions: Any, batch: Batch) -> Records:
        """One row: class scores, label."""
        return _scores_and_label(predictions, batch, self.name)

    def score(self, records: Records, reference: Records) -> float:
        """Area under the curve."""
        del reference
        from sklearn.metrics import roc_auc_score

        scores, labels = records.values[:, :-1], records.values[:, -1].astype(np.int64)
        present = np.unique(labels)
        if len(present) < 2:
            raise EvaluationError(f"metric '{self.name}' is undefined when all labels are the same class")
        try:
            if scores.shape[1] <= 2:
                # The margin orders samples exactly as the softmax probability of class 1 does.
                margin = scores[:, -1] if scores.shape[1] == 1 else scores[:, 1] - scores[:, 0]
                return finite(float(roc_auc_score(labels, margin)), self.name)
            missing = np.setdiff1d(np.arange(scores.shape[1]), present)
            if len(missing):
                raise EvaluationError(f"metric '{self.name}' is undefined: no sample is of class {missing[0]}")
            value = roc_auc_score(
                labels,
                probabilities(scores),
                multi_class="ovr",
                average=self.average,
                labels=np.arange(scores.shape[1]),
            )
        except ValueError as error:
            raise EvaluationError(f"metric '{self.name}': {error}") from error
        return finite(float(value), self.name)


@dataclass(frozen=True)
class LogLoss(MeanMetric):
    """Mean negative log probability of the label (cross entropy), natural logarithm.

    Predictions are probabilities ``[samples, classes]``, or ``[samples]`` of class 1; logits need softmax or
    sigmoid as post-processing. Probabilities are clipped at the smallest float32 step above 0.
    """

    higher_is_better: bool = False
    bounds: tuple[float, float] | None = None

    def records(self, predictions: Any, batch: Batch) -> Records:
        """One row: the sample's loss."""
        rows = _scores_and_label(predictions, batch, self.name).values
        scores, labels = rows[:, :-1], rows[:, -1].astype(np.int64)
        if scores.shape[1] == 1:
            scores = np.concatenate([1 - scores, scores], axis=1)
        if (scores < -1e-6).any() or not np.allclose(scores.sum(axis=1), 1, atol=1e-2):
            raise EvaluationError(
                f"metric '{self.name}' takes probabilities, and these predictions do not sum to 1",
                hint="add softmax (or sigmoid) to postprocess",
            )
        epsilon = float(np.finfo(np.float32).eps)
        chosen = scores[np.arange(len(labels)), labels]
        return Records.of_rows(-np.log(np.clip(chosen, epsilon, 1.0)))


def _scores_and_label(predictions: Any, batch: Batch, name: str) -> Records:
    values = single_output(predictions, name)
    check_count(len(values) if values.ndim else 0, batch, name)
    if values.ndim == 1:
        values = values[:, None]
    if values.ndim != 2:
        raise EvaluationError(f"metric '{name}' takes [samples] or [samples, classes], not shape {values.shape}")
    labels = integral(numeric_labels(batch, name).reshape(batch.samples, -1), f"labels of metric '{name}'")
    classes = max(values.shape[1], 2)
    if labels.shape[1] != 1 or (labels < 0).any() or (labels >= classes).any():
        raise DataError(f"metric '{name}' takes one class index per sample, from 0 to {classes - 1}")
    return Records.of_rows(np.concatenate([values.astype(np.float64), labels.astype(np.float64)], axis=1))


def probabilities(scores: Array) -> Array:
    """Rows as they are when each sums to one, else their softmax."""
    if (scores >= 0).all() and np.allclose(scores.sum(axis=-1), 1, atol=1e-3):
        return np.asarray(scores / scores.sum(axis=-1, keepdims=True))
    shifted = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=-1, keepdims=True))
