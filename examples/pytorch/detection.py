"""Boxes of the anchor-free detector: where its outputs stand in the image, and how they encode a box."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

STRIDES = {"p3": 8, "p4": 16}
"""Pixels per step of each level's map."""

_LARGEST = 6.0
"""Regressions above this (400 strides) would overflow before they mean anything."""


def locations(height: int, width: int, stride: int) -> NDArray[np.float64]:
    """``[height * width, 2]``: x and y of the middle of every step, row by row."""
    y, x = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
    return (np.stack([x.ravel(), y.ravel()], axis=1) + 0.5) * stride


def encode(boxes: NDArray[Any], points: NDArray[Any], stride: int) -> NDArray[np.float64]:
    """Logarithms of the distances, in strides, from points inside of boxes to their left, top, right, bottom edges.

    Args:
        boxes: ``[..., 4]``: x1, y1, x2, y2.
        points: ``[..., 2]``: x, y, strictly inside.
        stride: Pixels per step.
    """
    distances = np.concatenate([points - boxes[..., :2], boxes[..., 2:] - points], axis=-1)
    return np.asarray(np.log(distances / stride))


def decode_boxes(regressions: NDArray[Any], points: NDArray[Any], stride: int) -> NDArray[np.float64]:
    """The inverse of `encode`."""
    distances = np.exp(np.minimum(regressions.astype(np.float64), _LARGEST)) * stride
    return np.concatenate([points - distances[..., :2], points + distances[..., 2:]], axis=-1)


def decode(outputs: Mapping[str, NDArray[Any]], batch: Any) -> dict[str, NDArray[np.float64]]:
    """A step of a job's `postprocess`; the step ``boxes`` after it sorts and suppresses.

    Args:
        outputs: The detector's outputs by name.
        batch: Unused.

    Returns:
        ``boxes [n, locations, 4]`` in pixels (x1, y1, x2, y2) and ``scores [n, locations, classes]``: the geometric
        mean of class probability and centerness.
    """
    del batch
    boxes, scores = [], []
    for level, stride in STRIDES.items():
        classes, regressions, centerness = (
            _rows(outputs[f"{part}_{level}"]) for part in ("classes", "boxes", "centerness")
        )
        height, width = outputs[f"boxes_{level}"].shape[2:]
        found = decode_boxes(regressions, locations(height, width, stride), stride)
        limits = np.tile([width * stride, height * stride], 2)
        boxes.append(np.clip(found, 0, limits))
        scores.append(np.sqrt(_sigmoid(classes) * _sigmoid(centerness)))
    return {"boxes": np.concatenate(boxes, axis=1), "scores": np.concatenate(scores, axis=1)}


def _rows(maps: NDArray[Any]) -> NDArray[np.float64]:
    """``[n, c, h, w]`` to ``[n, h * w, c]``."""
    return maps.reshape(*maps.shape[:2], -1).transpose(0, 2, 1).astype(np.float64)


def _sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * x)))
