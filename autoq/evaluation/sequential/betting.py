"""Evidence about the mean of a finite population, sampled without replacement: the capital of a gambler.

Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting" (2020), in the form for
sampling without replacement. Whoever bets against a true hypothesis multiplies his capital by r with a chance of at
most 1 / r, at whatever time one looks (Ville 1939): the capital measures evidence, and looking after each sample is
free.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from autoq.evaluation.metrics.base import Floats

_FUZZ = 1e-12
"""Share of the values' range that is rounding."""

_WORTHWHILE = 75.0
_LARGEST = 32.0


@dataclass(frozen=True, eq=False)
class Bets:
    """Gamblers with fixed strategies who share one capital, so that one of them suits whatever the candidate is.

    Halving a bet from one to the next costs little against the best in hindsight. Neither depends on the limit, so
    that what is accepted at one limit is accepted at any larger one.

    Attributes:
        sizes: ``[bets]``, capital won per unit of difference and unit of capital; what would risk more than
            everything is cut down to everything, as infinity always is.
        shares: ``[bets]`` of the capital at the start; the sum is 1.
    """

    sizes: Floats
    shares: Floats

    @classmethod
    def on_small(cls, upper: float, scale: float, population: int) -> Bets:
        """Bets that the loss is small, where a drop is at most `upper`, in a range of `scale`.

        With no difference in sight the best is to risk everything, and that is what good candidates look like: it
        has three times the share of any other bet.
        """
        less = _halved(0.5 / upper, scale, population) if upper > 0 else []
        sizes, shares = np.array([math.inf, *less]), np.array([3.0, *(1.0 for _ in less)])
        return cls(sizes, shares / shares.sum())

    @classmethod
    def on_large(cls, scale: float, population: int) -> Bets:
        """Bets that the loss is large: from broken candidates to such as lose little more than allowed."""
        sizes = np.array(_halved(_LARGEST / scale, scale, population))
        return cls(sizes, np.full(len(sizes), 1 / len(sizes)))


def _halved(first: float, scale: float, population: int) -> list[float]:
    """Sizes from `first` down to the smallest that can win much among so many samples, at least `first`.

    The best bet on a difference that N samples can just tell is of the order of
    ``sqrt(2 ln(1 / error) / (N variance))`` (the predictable bets of Waudby-Smith and Ramdas 2020).
    """
    sizes = [first]
    while sizes[-1] / 2 >= math.sqrt(_WORTHWHILE / population) / scale:
        sizes.append(sizes[-1] / 2)
    return sizes


class Capital:
    """Evidence that the mean of the whole population exceeds `mean`, sample by sample.

    The hypothesis to refute is "the mean is at most `mean`". If it held, the mean of what is still to come would be
    at most ``m_t = (N mean - sum of the seen) / (N - t)``. A bet of size b multiplies its capital by
    ``1 + min(b, 1 / (m_t - lower)) (x_t - m_t)``, which is never negative, and on average at most 1 under the
    hypothesis. The capital falls as `mean` grows.

    Args:
        mean: The hypothesis.
        lower: No value is smaller.
        scale: The values' range, to tell rounding from differences.
        population: Number of values in all, N.
        bets: How much is bet.
        certain: How many of the first values are no random draws: nothing is bet on them, they only change what is
            left of the mean.
    """

    def __init__(self, mean: float, lower: float, scale: float, population: int, bets: Bets, certain: int = 0) -> None:
        self._mean = mean
        self._lower = lower
        self._fuzz = _FUZZ * scale
        self._population = population
        self._bets = bets.sizes
        self._certain = certain
        self._logs: Floats = np.log(bets.shares)
        self._seen = 0
        self._sum = 0.0
        self._refuted = False

    def add(self, values: Floats) -> Floats:
        """``[samples]`` log of the capital after each of the next values; infinite once the hypothesis is impossible.

        Args:
            values: ``[samples]``, in order; any batching gives the same answer.
        """
        if not len(values):
            return np.empty(0)
        sums = np.cumsum(np.concatenate([[self._sum], values]))
        remaining = self._population - self._seen - np.arange(len(values))
        gaps = (self._population * self._mean - sums[:-1]) / remaining - self._lower
        above = np.maximum(values - self._lower, 0.0)
        nothing = gaps <= self._fuzz
        refuted = (gaps < -self._fuzz) | (nothing & (above > self._fuzz))
        # Where the hypothesis leaves no room above the lower end and the value is there, nothing is learned.
        room = np.where(nothing, 1.0, gaps)[:, None]
        payoffs = np.where(nothing, 0.0, above / room[:, 0] - 1.0)[:, None]
        with np.errstate(divide="ignore"):
            growth = np.log1p(np.minimum(self._bets * room, 1.0) * payoffs)
        growth[: max(self._certain - self._seen, 0)] = 0.0
        paths = np.cumsum(np.concatenate([self._logs[None], growth]), axis=0)[1:]
        self._logs, self._sum, self._seen = paths[-1], float(sums[-1]), self._seen + len(values)
        capital = _log_sum_exp(paths)
        capital[np.logical_or.accumulate(refuted) | self._refuted] = np.inf
        self._refuted = self._refuted or bool(refuted.any())
        return capital


def _log_sum_exp(rows: Floats) -> Floats:
    highest = rows.max(axis=1)
    safe = np.where(np.isfinite(highest), highest, 0.0)
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(np.exp(rows - safe[:, None]).sum(axis=1)) + safe)
