"""The range of least Kullback-Leibler divergence between a distribution and its quantized form.

Entropy calibration as in S. Migacz, "8-bit Inference with TensorRT", GTC 2017, on the grid that is really
used: both signs, symmetric or not. The bin that holds zero counts like its neighbours, as zero is always
represented exactly and the zeros of a ReLU would otherwise drown everything else.
"""

from __future__ import annotations

import numpy as np

from autoq.calibration.bins import Bins, narrowest
from autoq.calibration.grid import grid_limits, scale_zero_point
from autoq.core.precision import Scheme, TensorQuant
from autoq.core.statistics import TensorStatistics

Range = tuple[float, float]

_CANDIDATES = 96

# Share of the quantized distribution spread evenly, so that an emptied bin costs much, but not infinitely much.
_SMOOTHING = 1e-4


def divergence(bins: Bins, low: float, high: float, quant: TensorQuant) -> float:
    """Kullback-Leibler divergence of the clipped distribution from the quantized one, in nats.

    The clipped distribution collects what lies outside the range in its outermost bins; the quantized one
    spreads what each level received evenly over the filled bins of that level, without the outliers.
    """
    inside = (bins.values >= low) & (bins.values <= high)
    values, counts = bins.values[inside], bins.counts[inside]
    if not values.size:
        return float("inf")
    clipped = counts.copy()
    clipped[0] += bins.counts[bins.values < low].sum()
    clipped[-1] += bins.counts[bins.values > high].sum()
    bottom, top = grid_limits(quant)
    scale, zero_point = scale_zero_point(low, high, quant)
    levels = (np.clip(np.rint(values / scale) + zero_point, bottom, top) - bottom).astype(np.intp)
    received = np.bincount(levels, weights=counts)
    filled = np.bincount(levels)
    quantized = received[levels] / filled[levels]
    p = clipped / clipped.sum()
    q = (1.0 - _SMOOTHING) * quantized / quantized.sum() + _SMOOTHING / quantized.size
    return float(np.sum(p * np.log(p / q)))


def entropy_range(statistics: TensorStatistics, quant: TensorQuant, whole: Range) -> Range:
    """The range of least divergence among those that clip at one magnitude on both sides.

    `whole` itself is among the candidates, so the result is never worse.
    """
    bins = without_zero_spike(Bins.of(statistics))
    reach = max(-whole[0], whole[1])
    share = narrowest(whole, bins, quant)
    limits = reach * np.linspace(share, 1.0, _CANDIDATES) if share < 1.0 else np.asarray([reach])
    ranges = [(max(whole[0], -t), min(whole[1], t)) for t in map(float, limits)]
    if quant.scheme is Scheme.SYM:
        ranges = [(-t, t) for t in map(float, limits)]
    scores = [divergence(bins, low, high, quant) for low, high in ranges]
    return ranges[len(scores) - 1 - int(np.argmin(scores[::-1]))]


def without_zero_spike(bins: Bins) -> Bins:
    """The distribution with the bin that holds zero counting at most as much as its larger neighbour."""
    zero = np.flatnonzero((bins.values >= 0.0) & (bins.values < bins.width))
    if not zero.size or bins.values.size == 1:
        return bins
    index = int(zero[0])
    neighbours = [bins.counts[i] for i in (index - 1, index + 1) if 0 <= i < bins.counts.size]
    counts = bins.counts.copy()
    counts[index] = min(counts[index], max(neighbours))
    return Bins(bins.values, counts, bins.width)
