"""Evidence about the mean of a finite population, sampled without replacement: the capital of a gambler.

Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting" (2020), section 5 (sampling
without replacement). Whoever bets against a true hypothesis multiplies his capital by r with a chance of at most
1 / r, at whatever time one looks (Ville 1939): the capital measures evidence, and looking after each sample is free.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from autoq.evaluation.metrics.base import Floats

_FUZZ = 1e-12
"""Share of the values' range that is rounding."""


@dataclass(frozen=True, eq=False)
class Mixture:
    """Gamblers with fixed strategies who share one capital.

    Attributes:
        fractions: ``[bets]`` in (0, 1]; which share of the capital each puts at stake: at 1 the worst outcome ruins.
        weights: ``[bets]``, the capital each starts with; the sum is 1.
    """

    fractions: Floats
    weights: Floats


def _mixture(fractions: list[float], weights: list[float]) -> Mixture:
    shares = np.array(weights)
    return Mixture(np.array(fractions), shares / shares.sum())


SMALL_LOSS = _mixture([1.0, 0.75, 0.5, 0.3, 0.15, 0.07], [6, 2, 2, 1, 1, 1])
"""Bets that the loss is below the limit. With no difference in sight the best stake is everything, so that bet is
given the most; the others allow for the differences of a candidate that loses almost what it may."""

LARGE_LOSS = _mixture([0.5**i for i in range(10)], [1.0] * 10)
"""Bets that the loss is above the limit: from broken (everything at stake) to hardly worse than allowed (1/512)."""


class Capital:
    """Evidence that the mean of the whole population exceeds `mean`, sample by sample.

    The hypothesis to refute is "the mean is at most `mean`". If it held, the mean of what is still to come would be
    at most ``m_t = (N mean - sum of the seen) / (N - t)``. Each bet of fraction c multiplies its capital by
    ``1 + c (x_t - m_t) / (m_t - lower)``, which is never negative, and on average at most 1 under the hypothesis.

    Args:
        mean: The hypothesis.
        lower: No value is smaller.
        scale: The values' range, to tell rounding from differences.
        population: Number of values in all, N.
        mixture: The bets.
    """

    def __init__(self, mean: float, lower: float, scale: float, population: int, mixture: Mixture) -> None:
        self._mean = mean
        self._lower = lower
        self._fuzz = _FUZZ * scale
        self._population = population
        self._fractions = mixture.fractions
        self._logs: Floats = np.log(mixture.weights)
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
        payoffs = np.where(nothing, 1.0, above / np.where(nothing, 1.0, gaps))
        with np.errstate(divide="ignore"):
            growth = np.log1p(self._fractions * (payoffs[:, None] - 1.0))
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
