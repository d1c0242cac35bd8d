"""The losses that the samples seen so far do not refute."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from autoq.evaluation.metrics.base import Floats
from autoq.evaluation.sequential.betting import Capital
from autoq.evaluation.sequential.drops import Drops

_PRECISION = 1e-3
"""How precisely an end is found, as a share of its distance to the mean so far; it errs on the wide side."""

_FINEST = 1e-7
"""And as a share of the drops' range."""


def mean_drop_interval(known: Drops, drops: Floats, confidence: float) -> tuple[float, float]:
    """Ends of the confidence sequence of the mean drop of all samples, from the first of them.

    The test of one limit, inverted: the interval holds every mean that no bet has refuted at half the error for each
    end, at any time so far (the hedged capital process of Waudby-Smith and Ramdas 2020, without replacement). It
    holds at all times together, so that it may be read whenever scoring stopped. The capital grows with the distance
    of the mean that it is bet against, so each end is found by halving.

    Args:
        known: What is known of fp32.
        drops: ``[samples]`` drops so far.
        confidence: Two-sided coverage.

    Returns:
        Low and high end in the metric's unit; infinite ends where a drop is undefined.
    """
    if np.isnan(drops).any():
        return -math.inf, math.inf
    count, seen = known.population, len(drops)
    least = (float(drops.sum()) + float(known.rest_low[seen])) / count
    most = (float(drops.sum()) + float(known.rest_high[seen])) / count
    evidence = math.log(2 / (1 - confidence))

    def is_refuted(capital: Capital, values: Floats) -> bool:
        return bool(seen) and float(capital.add(values).max()) >= evidence

    mean = min(max(known.estimate(drops), least), most) if seen else (least + most) / 2
    finest = _FINEST * (known.upper - known.lower)
    low = _last_refuted(lambda m: is_refuted(known.bet_on_large(m), drops), least, most, mean, finest)
    high = -_last_refuted(lambda m: is_refuted(known.bet_on_small(-m), -drops), -most, -least, -mean, finest)
    return low, high


def _last_refuted(is_refuted: Callable[[float], bool], start: float, stop: float, mean: float, finest: float) -> float:
    """The largest value between the two that is refuted, where all smaller ones are; `start` when none is."""
    if not is_refuted(start):
        return start
    while stop - start > _PRECISION * max(mean - start, 0.0) + finest:
        middle = (start + stop) / 2
        start, stop = (middle, stop) if is_refuted(middle) else (start, middle)
    return start
