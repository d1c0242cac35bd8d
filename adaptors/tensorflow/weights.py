"""Quantized weights, made once per weight and granularity and shared by all plans."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autoq.calibration.grid import SMALLEST_SCALE
from autoq.calibration.thresholds import quantize_weight, weight_scales
from autoq.core.precision import Granularity, TensorQuant

# The kernels add products to the bias in 32 bits without checking for overflow: half of them are left to the products.
_LARGEST_BIAS = 2.0**30


@dataclass(frozen=True, eq=False)
class QuantizedWeight:
    """A weight on the int8 grid.

    Attributes:
        values: ``int8``, in the layout its kernel wants.
        scales: ``float32``, one, or one per output channel.
        sums: ``float64 [channels]``: sum of the real values per output channel, what an input that is shifted by one
            adds to the output.
    """

    values: NDArray[np.int8]
    scales: NDArray[np.float32]
    sums: NDArray[np.float64]


def quantize(weight: NDArray[np.float32], quant: TensorQuant) -> QuantizedWeight:
    """Symmetric int8, per tensor or per output channel.

    Args:
        weight: ``[..., channels]``: the last axis counts the output channels.
        quant: Granularity of the scales.
    """
    axis = weight.ndim - 1 if quant.granularity is Granularity.PER_CHANNEL else None
    return at_scales(weight, weight_scales(weight, quant, axis))


def at_scales(weight: NDArray[np.float32], scales: NDArray[np.float32]) -> QuantizedWeight:
    """A weight ``[..., channels]`` at one scale, or at one per channel."""
    axis = weight.ndim - 1 if scales.size > 1 else None
    values = quantize_weight(weight, scales, axis)
    sums = values.sum(axis=tuple(range(weight.ndim - 1)), dtype=np.int64) * scales.astype(np.float64)
    return QuantizedWeight(values, scales, sums)


def wide_enough(scales: NDArray[np.float32], activation_scale: float, bias: NDArray[np.float64]) -> NDArray[np.float32]:
    """Weight scales, raised where bias and products would not fit int32 at ``activation_scale * scale``.

    Channels whose weights are almost zero have tiny scales, and their bias would overflow; so would the product of the
    two scales, which has to stay a normal float32.
    """
    largest = np.abs(bias) if scales.size > 1 else np.abs(bias).max(keepdims=True)
    smallest = np.maximum(largest / _LARGEST_BIAS, 1.001 * SMALLEST_SCALE) / activation_scale
    return np.maximum(scales, smallest).astype(np.float32)
