"""From a detector's raw outputs to boxes, with non-maximum suppression."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoq.core.batch import Array, Batch
from autoq.core.errors import ConfigError, EvaluationError
from autoq.evaluation.metrics.detection import pairwise_iou
from autoq.evaluation.postprocess.base import Step, named_output, one_array

_BEFORE_SUPPRESSION = 1000
_LAYOUTS = ("xyxy", "xywh", "cxcywh", "yxyx")


@dataclass(frozen=True)
class BoxDecoder:
    """Decodes one batch into one ``[boxes, 6]`` array per sample: x1, y1, x2, y2, score, class.

    Attributes:
        layout: What the four numbers of a box are: ``xyxy``, ``yxyx`` (corners), ``xywh`` (corner and size) or
            ``cxcywh`` (centre and size).
        boxes: Output with the boxes; the only one by default.
        scores: Output with class scores ``[samples, boxes, classes]``, or ``[samples, boxes]`` together with
            `classes`; None when they follow the four numbers in the output of the boxes.
        classes: Output with class indices ``[samples, boxes]``.
        objectness: The first score is an objectness that multiplies the class scores.
        channels_first: Arrays are ``[samples, numbers, boxes]``.
        background: Class that is no object, dropped before counting; None when there is none.
        score_threshold: Least score kept.
        iou_threshold: Boxes of one class that overlap more than this keep only the best; None to skip suppression.
        max_detections: Boxes per sample, best first.
        scale: ``[width, height]`` that multiplies boxes, for detectors that give shares of the image.
    """

    layout: str = "xyxy"
    boxes: str | int | None = None
    scores: str | int | None = None
    classes: str | int | None = None
    objectness: bool = False
    channels_first: bool = False
    background: int | None = None
    score_threshold: float = 0.05
    iou_threshold: float | None = 0.5
    max_detections: int = 100
    scale: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if self.layout not in _LAYOUTS:
            raise ConfigError(f"boxes: layout must be one of {', '.join(_LAYOUTS)}, not {self.layout!r}")
        if self.iou_threshold is not None and not 0 < self.iou_threshold <= 1:
            raise ConfigError(f"boxes: iou_threshold lies above 0 and up to 1, not at {self.iou_threshold}")
        if self.max_detections < 1:
            raise ConfigError(f"boxes: max_detections must be at least 1, not {self.max_detections}")
        if self.classes is not None and self.scores is None:
            raise ConfigError("boxes: classes needs scores, the output with one score per box")

    def __call__(self, value: Any, batch: Batch) -> list[Array]:
        """One array per sample."""
        corners, scores, labels = self._read(value)
        if len(corners) != batch.samples:
            raise EvaluationError(f"boxes: outputs of {len(corners)} rows for {batch.samples} samples")
        return [self._sample(corners[i], scores[i], None if labels is None else labels[i]) for i in range(len(corners))]

    def _read(self, value: Any) -> tuple[Array, Array, Array | None]:
        array = self._rows(one_array(value, self.boxes))
        if self.scores is None:
            if array.shape[2] < 5 + self.objectness:
                raise EvaluationError(
                    f"boxes: {array.shape[2]} numbers per box hold no class scores",
                    hint="name the outputs {boxes: NAME, scores: NAME} in arguments, or set channels_first",
                )
            return self._corners(array[..., :4]), array[..., 4:], None
        if not isinstance(value, Mapping):
            raise EvaluationError("boxes: the output named by scores is gone after the step before")
        if array.shape[2] != 4:
            raise EvaluationError(f"boxes: a box has 4 numbers, this output has {array.shape[2]}")
        found = named_output(value, self.scores)
        labels = None if self.classes is None else named_output(value, self.classes)
        scores = found[..., None] if labels is not None and found.ndim == 2 else self._rows(found)
        if scores.shape[:2] != array.shape[:2] or (labels is not None and labels.shape != array.shape[:2]):
            raise EvaluationError(f"boxes: scores {list(found.shape)} do not fit boxes {list(array.shape)}")
        return self._corners(array), scores, labels

    def _rows(self, array: Array) -> Array:
        if array.ndim != 3:
            raise EvaluationError(f"boxes: outputs are [samples, boxes, numbers], not shape {list(array.shape)}")
        return array.transpose(0, 2, 1) if self.channels_first else array

    def _corners(self, raw: Array) -> NDArray[np.float64]:
        boxes = raw.astype(np.float64)
        first, second = boxes[..., :2], boxes[..., 2:]
        if self.layout == "yxyx":
            first, second = first[..., ::-1], second[..., ::-1]
        elif self.layout == "xywh":
            second = first + second
        elif self.layout == "cxcywh":
            first, second = first - second / 2, first + second / 2
        factor = np.ones(2) if self.scale is None else np.asarray(self.scale, dtype=np.float64)
        return np.concatenate([first * factor, second * factor], axis=-1)

    def _sample(self, corners: Array, scores: Array, labels: Array | None) -> Array:
        values = scores.astype(np.float64)
        if self.objectness:
            values = values[:, :1] * values[:, 1:]
        if self.background is not None and labels is None:
            values = np.delete(values, self.background, axis=1)
        box, column = np.nonzero(values >= self.score_threshold)
        classes = column.astype(np.float64) if labels is None else labels[box].astype(np.float64)
        score = values[box, column]
        order = np.argsort(-score, kind="stable")[:_BEFORE_SUPPRESSION]
        rows = np.concatenate([corners[box[order]], score[order, None], classes[order, None]], axis=1)
        if self.iou_threshold is not None:
            rows = rows[suppress(rows[:, :4], rows[:, 5], self.iou_threshold)]
        return np.asarray(rows[: self.max_detections])


def suppress(boxes: NDArray[np.float64], classes: NDArray[np.float64], threshold: float) -> NDArray[np.int64]:
    """Greedy non-maximum suppression per class.

    Args:
        boxes: ``[n, 4]`` corners, best first.
        classes: ``[n]`` classes; only boxes of one class suppress each other.
        threshold: Overlap (intersection over union) above which the lesser box goes.

    Returns:
        Positions of the boxes kept, best first.
    """
    clash = (pairwise_iou(boxes, boxes) > threshold) & (classes[:, None] == classes[None])
    alive = np.ones(len(boxes), dtype=bool)
    for i in range(len(boxes)):
        if alive[i]:
            alive[i + 1 :] &= ~clash[i, i + 1 :]
    return np.flatnonzero(alive)


def boxes(**arguments: Any) -> Step:
    """See `BoxDecoder` for the arguments."""
    scale = arguments.get("scale")
    if scale is not None:
        pair = [scale, scale] if isinstance(scale, int | float) else list(scale)
        if len(pair) != 2:
            raise ConfigError(f"boxes: scale is one number or [width, height], not {scale!r}")
        arguments["scale"] = (float(pair[0]), float(pair[1]))
    return BoxDecoder(**arguments)
