"""The range of least mean squared error."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from autoq.calibration.bins import Bins, narrowest
from autoq.calibration.grid import grid_limits, scales_zero_points
from autoq.core.precision import Scheme, TensorQuant
from autoq.core.statistics import TensorStatistics

Floats = NDArray[np.float64]
Range = tuple[float, float]

_COARSE = 32
_FINE = 9


def squared_errors(bins: Bins, lows: Floats, highs: Floats, quant: TensorQuant) -> Floats:
    """Mean squared error of quantizing a distribution in each of several ranges, rounding and clipping alike.

    Args:
        bins: The distribution.
        lows: ``[ranges]``.
        highs: ``[ranges]``.
        quant: Type and scheme of the grid.

    Returns:
        ``[ranges]``, in squared units of the tensor.
    """
    bottom, top = grid_limits(quant)
    scales, zero_points = scales_zero_points(lows, highs, quant)
    columns, zeros = scales[:, None].astype(np.float64), zero_points[:, None]
    stored = np.clip(np.rint(bins.values / columns) + zeros, bottom, top)
    errors = (stored - zeros) * columns - bins.values
    means: Floats = np.square(errors) @ bins.counts / bins.counts.sum()
    return means


def squared_error_range(statistics: TensorStatistics, quant: TensorQuant, whole: Range) -> Range:
    """The range inside `whole` with the least squared error, on a grid of shrunken ranges.

    Both ends shrink together first; the best is then refined, for asymmetric schemes each end on its own.
    `whole` itself is among the candidates, so the result is never worse.
    """
    bins = Bins.of(statistics)
    share = narrowest(whole, bins, quant)
    factors = np.geomspace(share, 1.0, _COARSE) if share < 1.0 else np.ones(1)
    ends = _best(bins, factors * whole[0], factors * whole[1], quant)
    step = share ** (-1.0 / (_COARSE - 1))
    around = np.geomspace(1.0 / step, step, _FINE)
    if quant.scheme is Scheme.SYM:
        limits = np.minimum(around * ends[1], whole[1])
        return _best(bins, -limits, limits, quant)
    # One end at a time; a wider search than above, as the two tails may differ much.
    apart = np.geomspace(share, 1.0, _COARSE)
    for side in (0, 1):
        tried = [np.full(_COARSE + _FINE, end) for end in ends]
        tried[side] = np.concatenate((apart * whole[side], around * ends[side]))
        lows, highs = np.maximum(tried[0], whole[0]), np.minimum(tried[1], whole[1])
        ends = _best(bins, lows, highs, quant)
    return ends


def _best(bins: Bins, lows: Floats, highs: Floats, quant: TensorQuant) -> Range:
    # Ties go to the widest range: candidates are ordered from narrow to wide.
    errors = squared_errors(bins, lows, highs, quant)
    index = errors.size - 1 - int(np.argmin(errors[::-1]))
    return float(lows[index]), float(highs[index])
