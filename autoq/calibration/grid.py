"""The integer grid of a quantized tensor: ``real = scale * (stored - zero_point)``."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from autoq.core.errors import UnsupportedError
from autoq.core.precision import DType, Scheme, TensorQuant

# A scale below the smallest normal float32 has no finite reciprocal in kernels that flush subnormals.
SMALLEST_SCALE = float(np.finfo(np.float32).tiny)


def grid_limits(quant: TensorQuant) -> tuple[int, int]:
    """Smallest and largest stored integer.

    A symmetric grid leaves out its lowest integer, so that it reaches equally far on both sides of zero.

    Raises:
        UnsupportedError: The dtype is a float.
    """
    if quant.dtype in (DType.FP32, DType.BF16, DType.FP16):
        raise UnsupportedError(f"{quant.dtype} has no integer grid", hint="choose int8 or uint8")
    levels = 1 << quant.dtype.bits
    unsigned = quant.dtype in (DType.UINT8, DType.UINT4)
    low, high = (0, levels - 1) if unsigned else (-levels // 2, levels // 2 - 1)
    return (low + 1, high) if quant.scheme is Scheme.SYM else (low, high)


def scales_zero_points(
    low: ArrayLike, high: ArrayLike, quant: TensorQuant
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Scale and zero point of many ranges at once; see `scale_zero_point`."""
    bottom, top = grid_limits(quant)
    lows = np.minimum(np.asarray(low, np.float64), 0.0)
    highs = np.maximum(np.asarray(high, np.float64), 0.0)
    widths = 2.0 * np.maximum(-lows, highs) if quant.scheme is Scheme.SYM else highs - lows
    scales = np.maximum(widths / (top - bottom), SMALLEST_SCALE).astype(np.float32)
    scales = np.where(widths > 0.0, scales, np.float32(1.0))
    if quant.scheme is Scheme.SYM:
        zero_points = np.full(scales.shape, (bottom + top) // 2, np.int64)
    else:
        zero_points = np.clip(np.rint(bottom - lows / scales), bottom, top).astype(np.int64)
    return scales, zero_points


def scale_zero_point(low: float, high: float, quant: TensorQuant) -> tuple[np.float32, int]:
    """The grid of a range.

    Zero lies exactly on the grid, and every value of the range, extended to zero where it does not reach it,
    is at most half a scale away from a grid point. An empty range gets scale 1.

    Args:
        low: Smallest value to represent.
        high: Largest value to represent.
        quant: Type and scheme; a symmetric grid covers the larger magnitude on both sides.

    Returns:
        Scale, positive; zero point, the integer stored for zero.

    Raises:
        UnsupportedError: The dtype is a float.
    """
    scales, zero_points = scales_zero_points(low, high, quant)
    return np.float32(scales), int(zero_points)
