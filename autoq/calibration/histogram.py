"""The distribution of a tensor from a stream of arrays, in one pass and bounded memory.

Bins are ``2**k`` wide and start at multiples of their width, so zero is always an edge. When the range grows
beyond `BINS` bins, `k` grows, and each wide bin is the sum of whole narrow ones. `k` depends on the smallest
and largest value alone: the result is the same in whatever order and pieces the values come.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoq.core.errors import DataError
from autoq.core.statistics import TensorStatistics

BINS = 4096
"""Most bins of a histogram; a tensor that takes many values fills at least about half of them."""

# Elements binned at a time: their scratch arrays stay in the processor's cache.
_BLOCK = 65536

# Bin numbers are computed in the values' own precision, exact for float32 up to this many bits.
_EXACT_BITS = 24
_LOWEST_EXPONENT = -126


def bin_exponent(minimum: float, maximum: float, bins: int = BINS) -> int:
    """The smallest `k` for which bins of width ``2**k``, aligned to zero, cover a range with at most `bins`.

    Bounded below so that bin numbers are exact in float32.
    """
    magnitude = max(abs(minimum), abs(maximum))
    exponent = max(
        _LOWEST_EXPONENT,
        math.frexp(magnitude)[1] - _EXACT_BITS,
        math.frexp((maximum - minimum) / bins)[1] - 2 if maximum > minimum else _LOWEST_EXPONENT,
    )
    while bin_number(maximum, exponent) - bin_number(minimum, exponent) >= bins:
        exponent += 1
    return exponent


def bin_number(value: float, exponent: int) -> int:
    """Number of the bin that holds a value; bin 0 starts at zero."""
    return math.floor(math.ldexp(value, -exponent))


class TensorCollector:
    """Collects the statistics of one tensor.

    Args:
        name: The tensor, for errors.
        histogram: False to collect the range only.
    """

    def __init__(self, name: str, *, histogram: bool = True) -> None:
        self._name = name
        self._histogram = histogram
        self._elements = 0
        self._minimum = math.inf
        self._maximum = -math.inf
        self._exponent = _LOWEST_EXPONENT
        self._first = 0
        self._counts = np.zeros(0, np.int64)

    def update(self, values: NDArray[np.floating[Any]]) -> None:
        """Take in values of any shape.

        Raises:
            DataError: Some are NaN or infinite.
        """
        if not values.size:
            return
        if values.dtype == np.float16:
            values = values.astype(np.float32)
        minimum, maximum = float(values.min()), float(values.max())
        if not (math.isfinite(minimum) and math.isfinite(maximum)):
            kind = "NaN" if math.isnan(minimum) else "infinite values"
            raise DataError(
                f"calibration data drive this tensor to {kind}",
                where=f"tensor '{self._name}'",
                hint="check the preprocessing of the calibration data, and that the fp32 model works on them",
            )
        self._elements += values.size
        if minimum < self._minimum or maximum > self._maximum:
            self._minimum, self._maximum = min(minimum, self._minimum), max(maximum, self._maximum)
            if self._histogram:
                self._cover()
        if self._histogram:
            self._count(values.reshape(-1))

    def statistics(self) -> TensorStatistics:
        """What was seen so far; all zero when nothing was."""
        if not self._elements:
            return TensorStatistics(0.0, 0.0, np.zeros(0, np.int64), 0.0, 0.0, 0)
        low, high = self._minimum, self._maximum
        if self._histogram:
            low = math.ldexp(self._first, self._exponent)
            high = math.ldexp(self._first + self._counts.size, self._exponent)
        return TensorStatistics(self._minimum, self._maximum, self._counts.copy(), low, high, self._elements)

    def _cover(self) -> None:
        """Move the counts to bins that cover the new range."""
        exponent = bin_exponent(self._minimum, self._maximum)
        first = bin_number(self._minimum, exponent)
        counts = np.zeros(bin_number(self._maximum, exponent) - first + 1, np.int64)
        # Rounding down halves bin numbers correctly on both sides of zero.
        shift = min(exponent - self._exponent, 63)
        numbers = (np.arange(self._counts.size, dtype=np.int64) + self._first) >> shift
        np.add.at(counts, numbers - first, self._counts)
        self._exponent, self._first, self._counts = exponent, first, counts

    def _count(self, values: NDArray[np.floating[Any]]) -> None:
        kind = values.dtype.type
        factor, first = kind(math.ldexp(1.0, -self._exponent)), kind(self._first)
        scaled = np.empty(min(_BLOCK, values.size), values.dtype)
        numbers = np.empty(scaled.size, np.intp)
        for start in range(0, values.size, _BLOCK):
            block = values[start : start + _BLOCK]
            floats, integers = scaled[: block.size], numbers[: block.size]
            # Exact: a power of two scales without rounding, and bin numbers fit the mantissa.
            np.multiply(block, factor, out=floats)
            np.floor(floats, out=floats)
            np.subtract(floats, first, out=integers, casting="unsafe")
            self._counts += np.bincount(integers, minlength=self._counts.size)
