"""How well two computations of the same thing agree: signal to difference, in decibels."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from autoq.core.batch import Array


def sqnr(expected: Array, found: Array) -> float:
    """Signal to difference in dB; infinite for equal arrays, minus infinite where shapes or finiteness differ."""
    if expected.shape != found.shape:
        return -math.inf
    wanted, got = np.asarray(expected, np.float64), np.asarray(found, np.float64)
    if not np.array_equal(np.isfinite(wanted), np.isfinite(got)):
        return -math.inf
    kept = np.isfinite(wanted)
    difference = float(np.square(wanted[kept] - got[kept]).sum())
    if difference == 0:
        return math.inf
    signal = float(np.square(wanted[kept]).sum())
    return 10 * math.log10(signal / difference) if signal > 0 else -math.inf


def worst(expected: Mapping[str, Array], found: Mapping[str, Array]) -> float:
    """The worst agreement of outputs of one name; minus infinite when one is missing.

    Whole numbers (indices, class ids) are no signal with noise on it, and are left out where there is anything else.
    """
    measured = [name for name, array in expected.items() if array.dtype.kind == "f"] or list(expected)
    return min((sqnr(expected[n], found[n]) if n in found else -math.inf for n in measured), default=math.inf)
