"""Quantization of constant weights: symmetric, one scale per tensor or per channel."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from autoq.calibration.grid import SMALLEST_SCALE, grid_limits
from autoq.core.errors import ModelError, UnsupportedError
from autoq.core.precision import DType, Observer, Scheme, TensorQuant

SIGNED = TensorQuant(DType.INT8)


def weight_scales(weight: NDArray[np.float32], quant: TensorQuant, axis: int | None) -> NDArray[np.float32]:
    """Scales that put the largest magnitude on the last integer of the grid.

    A channel that is all zero takes the largest scale of the others, so that a bias at
    ``activation_scale * weight_scale`` keeps its precision.

    Args:
        weight: Any shape.
        quant: A symmetric signed type, observer minmax.
        axis: Axis with one scale per index, or None for one scale.

    Returns:
        ``float32 [channels]``, or ``[1]`` without an axis; positive.

    Raises:
        UnsupportedError: Asymmetric, unsigned, or another observer.
        ModelError: The weight holds NaN or infinities.
    """
    if quant.scheme is not Scheme.SYM or quant.dtype in (DType.UINT8, DType.UINT4):
        raise UnsupportedError(f"weights are quantized symmetric and signed, not {quant.label}", hint="choose int8 sym")
    if quant.observer is not Observer.MINMAX:
        raise UnsupportedError(f"weights have no {quant.observer} observer", hint="choose minmax")
    if axis is None:
        low, high = weight.min(initial=0.0), weight.max(initial=0.0)
        largest = np.asarray([max(-float(low), float(high))])
    else:
        others = tuple(i for i in range(weight.ndim) if i != axis % weight.ndim)
        low, high = weight.min(axis=others, initial=0.0), weight.max(axis=others, initial=0.0)
        largest = np.maximum(-low, high).astype(np.float64)
    if not np.isfinite(largest).all():
        raise ModelError("a weight holds NaN or infinities", hint="export the model again and check its weights")
    scales = np.maximum(largest / grid_limits(quant)[1], SMALLEST_SCALE).astype(np.float32)
    fallback = scales.max(initial=np.float32(0.0)) if largest.any() else np.float32(1.0)
    return np.where(largest > 0.0, scales, fallback).astype(np.float32)


def quantize_weight(
    weight: NDArray[np.float32], scales: ArrayLike, axis: int | None, quant: TensorQuant = SIGNED
) -> NDArray[np.int8]:
    """The nearest integers, ties to even, clipped to the symmetric grid (±127 for int8).

    Args:
        weight: Any shape.
        scales: One scale per index of `axis`, or one.
        axis: Axis of the scales, or None.
        quant: A symmetric signed type of at most 8 bits.

    Returns:
        ``int8`` of the weight's shape.
    """
    factors = np.asarray(scales, np.float32)
    if axis is not None:
        shape = [1] * weight.ndim
        shape[axis] = -1
        factors = factors.reshape(shape)
    elif factors.size == 1:
        factors = factors.reshape(())
    bottom, top = grid_limits(quant)
    steps = weight / factors
    np.rint(steps, out=steps)
    np.clip(steps, bottom, top, out=steps)
    return steps.astype(np.int8)
