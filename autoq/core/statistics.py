"""What calibration leaves behind: the distribution of each observed tensor, in bounded memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Needs:
    """Which statistics a search space can ever ask for.

    Attributes:
        tensors: Names of the tensors to observe.
        histogram: Whether any observer beyond minmax may be used.
    """

    tensors: tuple[str, ...]
    histogram: bool = True


@dataclass(frozen=True, eq=False)
class TensorStatistics:
    """Distribution of one tensor over the calibration samples.

    Attributes:
        minimum: Smallest value seen.
        maximum: Largest value seen.
        counts: ``int64 [bins]`` histogram over ``[low, high]``; empty when only the range was needed.
        low: Left edge of the histogram.
        high: Right edge of the histogram.
        elements: Values seen.
    """

    minimum: float
    maximum: float
    counts: NDArray[np.int64]
    low: float
    high: float
    elements: int


@dataclass(frozen=True, eq=False)
class Calibration:
    """Statistics of every observed tensor, collected once and used by every trial.

    Attributes:
        tensors: Statistics by tensor name.
        samples: Calibration samples seen.
        digest: Content address: model, data and needs.
        native: What a framework's own observers left behind, where they are transplanted.
    """

    tensors: Mapping[str, TensorStatistics]
    samples: int
    digest: str
    native: object = field(default=None, repr=False)
