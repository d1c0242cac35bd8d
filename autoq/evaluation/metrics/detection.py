"""Mean average precision of boxes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from autoq.core.batch import Batch
from autoq.core.errors import DataError, EvaluationError
from autoq.core.records import Records
from autoq.evaluation.metrics.base import Floats, SetMetric, check_count, finite, label_sequence

COCO_THRESHOLDS = tuple(round(0.5 + 0.05 * i, 2) for i in range(10))
_RECALLS = np.linspace(0, 1, 101)
_TRUTH, _FOUND = 0.0, 1.0


def pairwise_iou(first: Floats, second: Floats) -> Floats:
    """Intersection over union ``[n, m]`` of boxes ``[n, 4]`` and ``[m, 4]`` given as x1, y1, x2, y2."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    common = np.clip(high - low, 0, None).prod(axis=-1)
    union = _areas(first)[:, None] + _areas(second)[None] - common
    return np.asarray(np.divide(common, union, out=np.zeros_like(common), where=union > 0))


def _areas(boxes: Floats) -> Floats:
    return np.asarray(np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(axis=-1))


@dataclass(frozen=True)
class MeanAveragePrecision(SetMetric):
    """Average precision of boxes, averaged over classes and IoU thresholds (COCO: 101 recall points).

    Predictions: per sample ``[boxes, 6]`` of x1, y1, x2, y2, score, class. Labels: per sample ``[boxes, 5]`` of
    x1, y1, x2, y2, class. Within one image and class, detections in order of falling score take the free truth of
    largest IoU if that reaches the threshold (Lin et al. 2014, Microsoft COCO). Classes without truth do not count.

    Attributes:
        thresholds: IoU thresholds.
        max_detections: Detections per sample that count, best first.
    """

    thresholds: tuple[float, ...] = COCO_THRESHOLDS
    max_detections: int = 100
    resample_overhead: ClassVar[int] = 40_000

    def records(self, predictions: Any, batch: Batch) -> Records:
        """Rows of kind (0 truth, 1 detection), class, score, and one hit flag per threshold."""
        truths = [self._boxes(b, 5, DataError, "labels") for b in label_sequence(batch, self.name)]
        if not isinstance(predictions, list | tuple | np.ndarray):
            raise EvaluationError(
                f"metric '{self.name}' takes one array of boxes per sample, not {type(predictions).__name__}",
                hint="add boxes, or a function that decodes, to postprocess",
            )
        check_count(len(predictions), batch, self.name)
        found = [self._boxes(b, 6, EvaluationError, "predictions") for b in predictions]
        return Records.of_ragged(
            [self._match(f, t) for f, t in zip(found, truths, strict=True)], 3 + len(self.thresholds)
        )

    def _boxes(self, boxes: Any, width: int, error: type[DataError | EvaluationError], what: str) -> Floats:
        array = np.asarray(boxes, dtype=np.float64)
        if array.size == 0:
            return np.empty((0, width))
        if array.ndim != 2 or array.shape[1] != width:
            raise error(f"metric '{self.name}' takes {what} of shape [boxes, {width}] per sample, not {array.shape}")
        return array

    def _match(self, found: Floats, truth: Floats) -> Floats:
        found = found[np.argsort(-found[:, 4], kind="stable")[: self.max_detections]]
        hits = np.zeros((len(found), len(self.thresholds)))
        for label in np.unique(found[:, 5]):
            ours, theirs = np.flatnonzero(found[:, 5] == label), truth[truth[:, 4] == label]
            if len(theirs):
                hits[ours] = _assign(pairwise_iou(found[ours, :4], theirs[:, :4]), self.thresholds)
        truth_rows = np.zeros((len(truth), 3 + len(self.thresholds)))
        truth_rows[:, 0], truth_rows[:, 1] = _TRUTH, truth[:, 4]
        found_rows = np.concatenate([np.full((len(found), 1), _FOUND), found[:, 5:6], found[:, 4:5], hits], axis=1)
        return np.concatenate([truth_rows, found_rows])

    def score(self, records: Records, reference: Records) -> float:
        """Mean over classes and thresholds."""
        del reference
        rows = records.values
        truth, found = rows[rows[:, 0] == _TRUTH], rows[rows[:, 0] == _FOUND]
        classes, counts = np.unique(truth[:, 1], return_counts=True)
        if not len(classes):
            raise DataError(f"metric '{self.name}' is undefined: no sample has a labelled box")
        found = found[np.argsort(-found[:, 2], kind="stable")]
        values = [
            _average_precision(found[found[:, 1] == label, 3:], int(count))
            for label, count in zip(classes, counts, strict=True)
        ]
        return finite(float(np.mean(values)), self.name)


def _assign(iou: Floats, thresholds: Sequence[float]) -> Floats:
    hits = np.zeros((len(iou), len(thresholds)))
    for column, threshold in enumerate(thresholds):
        free = np.ones(iou.shape[1], dtype=bool)
        for row, overlaps in enumerate(iou):
            best = int(np.where(free, overlaps, -1.0).argmax())
            if free[best] and overlaps[best] >= threshold:
                free[best] = False
                hits[row, column] = 1.0
    return hits


def _average_precision(hits: Floats, truths: int) -> float:
    """Mean over thresholds of the interpolated precision; `hits` ``[detections, thresholds]`` by falling score."""
    if not len(hits):
        return 0.0
    right = np.cumsum(hits, axis=0)
    precision = right / np.arange(1, len(hits) + 1)[:, None]
    envelope = np.maximum.accumulate(precision[::-1], axis=0)[::-1]
    return float(np.mean([_interpolated(envelope[:, t], right[:, t] / truths) for t in range(hits.shape[1])]))


def _interpolated(envelope: Floats, recall: Floats) -> float:
    at: NDArray[np.intp] = np.searchsorted(recall, _RECALLS, side="left")
    return float(np.append(envelope, 0.0)[at].mean())
