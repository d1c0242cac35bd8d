"""From the statistics of a tensor to the range its grid covers: minmax, percentile, kl and mse.

Every range contains zero, so that padding and the zeros of activation functions are represented exactly.
"""

from __future__ import annotations

import numpy as np

from autoq.calibration.entropy import entropy_range
from autoq.calibration.grid import scale_zero_point
from autoq.calibration.squared_error import squared_error_range
from autoq.calibration.weights import quantize_weight, weight_scales
from autoq.core.errors import DataError
from autoq.core.precision import Observer, Scheme, TensorQuant
from autoq.core.statistics import TensorStatistics

__all__ = ["PERCENTILE", "activation_range", "quantize_weight", "scale_zero_point", "weight_scales"]

PERCENTILE = 99.999
"""Per cent of the values that the percentile observer keeps, at least; both sides together."""

Range = tuple[float, float]


def activation_range(statistics: TensorStatistics, quant: TensorQuant) -> Range:
    """The range a quantized activation covers.

    It contains zero and lies inside the range seen (extended to zero); for a symmetric scheme inside the
    largest magnitude seen, on both sides.

    Args:
        statistics: What calibration saw.
        quant: Observer, scheme and type.

    Returns:
        Lowest and highest value covered.

    Raises:
        DataError: The observer needs a histogram, and only the range was collected.
    """
    whole = _whole_range(statistics, quant)
    if quant.observer is Observer.MINMAX or whole == (0.0, 0.0):
        return whole
    if not statistics.counts.size:
        raise DataError(
            f"observer {quant.observer} needs a histogram, and calibration collected only ranges",
            hint="calibrate again with histograms, or choose minmax",
        )
    match quant.observer:
        case Observer.PERCENTILE:
            return _percentile_range(statistics, quant, whole)
        case Observer.KL:
            return entropy_range(statistics, quant, whole)
        case Observer.MSE:
            return squared_error_range(statistics, quant, whole)


def _whole_range(statistics: TensorStatistics, quant: TensorQuant) -> Range:
    low, high = min(0.0, statistics.minimum), max(0.0, statistics.maximum)
    if quant.scheme is Scheme.SYM:
        return -max(-low, high), max(-low, high)
    return low, high


def _percentile_range(statistics: TensorStatistics, quant: TensorQuant, whole: Range) -> Range:
    counts = statistics.counts
    edges = np.linspace(statistics.low, statistics.high, counts.size + 1)
    total = int(counts.sum())
    dropped = total * (1.0 - PERCENTILE / 100.0)
    if quant.scheme is Scheme.SYM:
        # Bins sorted by the magnitude they reach; the first that leaves little enough beyond it is the limit.
        reach = np.maximum(np.abs(edges[:-1]), np.abs(edges[1:]))
        order = np.argsort(reach, kind="stable")
        beyond = total - np.cumsum(counts[order])
        limit = min(float(reach[order][int(np.argmax(beyond <= dropped))]), whole[1])
        return -limit, limit
    above = total - np.cumsum(counts)
    below = np.cumsum(counts) - counts
    high = edges[1:][int(np.argmax(above <= dropped / 2))]
    low = edges[:-1][counts.size - 1 - int(np.argmax(below[::-1] <= dropped / 2))]
    return max(whole[0], min(0.0, float(low))), min(whole[1], max(0.0, float(high)))
