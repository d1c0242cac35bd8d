"""What range searches read from a histogram."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autoq.calibration.grid import grid_limits
from autoq.core.precision import TensorQuant
from autoq.core.statistics import TensorStatistics


@dataclass(frozen=True, eq=False)
class Bins:
    """The bins of a histogram that hold values.

    Attributes:
        values: ``float64 [bins]`` one value standing for all of a bin: its centre, inside the range seen.
        counts: ``float64 [bins]`` values per bin, all positive.
        width: Width of a bin.
    """

    values: NDArray[np.float64]
    counts: NDArray[np.float64]
    width: float

    @classmethod
    def of(cls, statistics: TensorStatistics) -> Bins:
        """The bins of `statistics`, which must have a histogram."""
        width = (statistics.high - statistics.low) / statistics.counts.size
        filled = np.flatnonzero(statistics.counts)
        values = np.clip(statistics.low + (filled + 0.5) * width, statistics.minimum, statistics.maximum)
        return cls(values, statistics.counts[filled].astype(np.float64), width)


def narrowest(whole: tuple[float, float], bins: Bins, quant: TensorQuant) -> float:
    """Smallest share of `whole` that a histogram can judge: below it, a bin would be wider than a level."""
    bottom, top = grid_limits(quant)
    return min(1.0, (top - bottom) * bins.width / (whole[1] - whole[0]))
