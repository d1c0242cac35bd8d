"""Choosing outputs, activations and class choice."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import expit

from autoq.core.batch import Array, Batch
from autoq.core.errors import ConfigError, EvaluationError
from autoq.evaluation.postprocess.base import Step, one_array


def select(output: str | int) -> Step:
    """One output of several, by name or index."""
    return lambda value, _: one_array(value, output)


def squeeze(axis: int | None = None) -> Step:
    """Without an axis of size 1, or without all of them; the batch axis stays."""
    if axis == 0:
        raise ConfigError("squeeze: axis 0 holds the samples and stays")

    def step(value: Any, _: Batch) -> Array:
        array = one_array(value)
        axes = tuple(i for i in range(1, array.ndim) if array.shape[i] == 1) if axis is None else axis
        return np.squeeze(array, axis=axes)

    return step


def softmax(axis: int = -1) -> Step:
    """Probabilities along an axis."""

    def step(value: Any, _: Batch) -> Array:
        array = one_array(value)
        # Half precision would lose the small probabilities.
        array = array.astype(np.float32) if array.dtype == np.float16 else array
        shifted = np.exp(array - array.max(axis=axis, keepdims=True))
        return np.asarray(shifted / shifted.sum(axis=axis, keepdims=True))

    return step


def sigmoid() -> Step:
    """``1 / (1 + exp(-x))``, without overflow."""
    return lambda value, _: np.asarray(expit(one_array(value)))


def argmax(axis: int = -1) -> Step:
    """Class indices along an axis."""
    if axis == 0:
        raise ConfigError("argmax: axis 0 holds the samples")
    return lambda value, _: np.asarray(one_array(value).argmax(axis=axis))


def l2_normalize(axis: int = -1) -> Step:
    """Vectors of length 1; a zero vector stays zero."""

    def step(value: Any, _: Batch) -> Array:
        array = one_array(value)
        length = np.sqrt(np.square(array, dtype=np.float64).sum(axis=axis, keepdims=True))
        return np.asarray(array / np.where(length == 0, 1, length), dtype=array.dtype)

    return step


def pair_cosine() -> Step:
    """Cosine of rows 2i and 2i + 1: one number per sample of two rows."""

    def step(value: Any, batch: Batch) -> Array:
        rows = one_array(value)
        rows = rows.reshape(len(rows), -1).astype(np.float64)
        if len(rows) != 2 * batch.samples:
            raise EvaluationError(
                f"pair_cosine takes 2 rows per sample, not {len(rows)} rows for {batch.samples} samples",
                hint="set rows_per_sample: 2 in the dataloader",
            )
        first, second = rows[0::2], rows[1::2]
        length = np.sqrt(np.square(first).sum(axis=1)) * np.sqrt(np.square(second).sum(axis=1))
        return np.asarray((first * second).sum(axis=1) / np.where(length == 0, 1, length))

    return step
