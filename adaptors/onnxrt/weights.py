"""Quantized weights, made once per weight and granularity and shared by all plans."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autoq.calibration.grid import SMALLEST_SCALE
from autoq.calibration.thresholds import quantize_weight, weight_scales
from autoq.core.precision import Granularity, TensorQuant

# The kernels add products to the bias without checking for overflow: half of int32 is left for up to 33,000 of them.
_LARGEST_BIAS = 2.0**30


@dataclass(frozen=True, eq=False)
class QuantizedWeight:
    """A weight on the int8 grid.

    Attributes:
        values: ``int8``, in the layout its kernel wants.
        scales: ``float32``, one, or one per output channel.
        axis: Axis of the output channels in `values`.
    """

    values: NDArray[np.int8]
    scales: NDArray[np.float32]
    axis: int


def quantize(weight: NDArray[np.float32], quant: TensorQuant, axis: int) -> QuantizedWeight:
    """Symmetric int8, per tensor or along `axis`."""
    per_channel = axis if quant.granularity is Granularity.PER_CHANNEL else None
    scales = weight_scales(weight, quant, per_channel)
    return QuantizedWeight(quantize_weight(weight, scales, per_channel, quant), scales, axis)


def wide_enough(scales: NDArray[np.float32], activation_scale: float, bias: NDArray[np.float32]) -> NDArray[np.float32]:
    """Weight scales, raised where bias and products would not fit int32 at ``activation_scale * scale``.

    Channels whose weights are almost zero have tiny scales, and their bias would overflow; so would the product
    of the two scales, which has to stay a normal float32.
    """
    smallest = np.abs(bias.astype(np.float64)) / (activation_scale * _LARGEST_BIAS)
    normal = np.float64(1.001 * SMALLEST_SCALE) / activation_scale
    return np.maximum(scales, np.maximum(smallest, normal)).astype(np.float32)
