"""What every metric is, and what they share."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from autoq.core.batch import Array, Batch
from autoq.core.errors import DataError, EvaluationError
from autoq.core.records import Records

Floats = NDArray[np.float64]


@runtime_checkable
class Metric(Protocol):
    """Turns predictions into one record per sample, and records into a score."""

    @property
    def name(self) -> str:
        """Name shown in reports; equal to the job's."""

    @property
    def higher_is_better(self) -> bool:
        """Direction."""

    @property
    def compares_with_fp32(self) -> bool:
        """Whether fp32's own predictions take the place of labels, so that nothing can score better than fp32."""

    @property
    def is_mean(self) -> bool:
        """Whether the score is the mean of `per_sample`."""

    @property
    def bounds(self) -> tuple[float, float] | None:
        """Range of a per-sample score of a mean metric; None when it is not a mean or has no range."""

    @property
    def resample_overhead(self) -> int:
        """Fixed cost of one `score`, in numbers of records that cost as much: resampling does fewer rounds."""

    def records(self, predictions: Any, batch: Batch) -> Records:
        """One record per sample of the batch.

        Raises:
            DataError: Labels are missing or do not fit.
            EvaluationError: Predictions have the wrong form.
        """

    def per_sample(self, records: Records, reference: Records) -> Floats | None:
        """``[samples]`` scores of a mean metric, None for a metric of the whole set."""

    def score(self, records: Records, reference: Records) -> float:
        """The score of all samples; `reference` holds fp32's records of the same samples.

        Raises:
            EvaluationError: It is undefined for these samples, or not finite.
        """


@dataclass(frozen=True)
class MeanMetric:
    """Base of the metrics whose score is a mean of per-sample scores: the record is that score."""

    name: str
    higher_is_better: bool = True
    bounds: tuple[float, float] | None = (0.0, 1.0)
    is_mean: ClassVar[bool] = True
    compares_with_fp32: ClassVar[bool] = False
    resample_overhead: ClassVar[int] = 0

    def per_sample(self, records: Records, reference: Records) -> Floats | None:
        """``[samples]`` scores."""
        del reference
        return records.values[:, 0]

    def score(self, records: Records, reference: Records) -> float:
        """Mean of the per-sample scores."""
        scores = self.per_sample(records, reference)
        if scores is None or not len(scores):
            raise EvaluationError(f"metric '{self.name}' has no samples to score")
        return finite(float(scores.mean()), self.name)


@dataclass(frozen=True)
class SetMetric:
    """Base of the metrics that only exist for a whole set of samples."""

    name: str
    higher_is_better: bool = True
    is_mean: ClassVar[bool] = False
    compares_with_fp32: ClassVar[bool] = False
    resample_overhead: ClassVar[int] = 0
    bounds: ClassVar[tuple[float, float] | None] = None

    def per_sample(self, records: Records, reference: Records) -> Floats | None:
        """None: there is no score of one sample."""
        del records, reference
        return None


def finite(score: float, name: str) -> float:
    """The score itself.

    Raises:
        EvaluationError: It is NaN or infinite.
    """
    if not math.isfinite(score):
        raise EvaluationError(
            f"metric '{name}' gave {score}",
            hint="look for constant predictions, empty classes or overflow in the metric's inputs",
        )
    return score


def single_output(predictions: Any, name: str) -> Array:
    """Predictions as one array.

    Raises:
        EvaluationError: There are several outputs, or something that is not an array.
    """
    if isinstance(predictions, Mapping):
        if len(predictions) != 1:
            raise EvaluationError(
                f"metric '{name}' takes one output, the model gives {len(predictions)}: {', '.join(predictions)}",
                hint="choose one in postprocess: {name: select, arguments: {output: NAME}}",
            )
        predictions = next(iter(predictions.values()))
    try:
        array = np.asarray(predictions)
    except ValueError as error:
        raise EvaluationError(f"metric '{name}': predictions of different shapes: {error}") from error
    if array.dtype.kind not in "fiub":
        raise EvaluationError(f"metric '{name}' takes numbers, not predictions of dtype {array.dtype}")
    return array


def numeric_labels(batch: Batch, name: str) -> Array:
    """The batch's labels as an array with one entry per sample.

    Raises:
        DataError: There are none, their count differs from the samples, or they are not numbers.
    """
    labels = label_sequence(batch, name)
    try:
        array = np.asarray(labels)
    except ValueError as error:
        raise DataError(f"metric '{name}' takes labels of equal shape: {error}") from error
    if array.dtype.kind not in "fiub":
        raise DataError(
            f"metric '{name}' takes numeric labels, not dtype {array.dtype}",
            hint="labels of a CSV file are numbers only where every cell is one, without leading zeros",
        )
    return array


def label_sequence(batch: Batch, name: str) -> Any:
    """The batch's labels, one per sample.

    Raises:
        DataError: There are none, or their count differs from the samples.
    """
    if batch.labels is None:
        raise DataError(
            f"metric '{name}' needs labels, and the evaluation data have none",
            hint="name the labels of the dataset, or use the metric 'agreement', which compares with fp32",
        )
    count = len(batch.labels)
    if count != batch.samples:
        raise DataError(f"metric '{name}': {count} labels for {batch.samples} samples")
    return batch.labels


def check_count(count: int, batch: Batch, name: str) -> None:
    """Raise unless predictions and samples agree in number."""
    if count != batch.samples:
        raise EvaluationError(
            f"metric '{name}': {count} predictions for {batch.samples} samples",
            hint="set rows_per_sample, or a post-processing step that gives one prediction per sample",
        )
