"""The sequential test of one criterion."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from autoq.core.criterion import Guarantee
from autoq.evaluation.metrics.base import Floats
from autoq.evaluation.sequential.drops import Drops


class LossTest:
    """Whether the loss on all samples is within the limit, told from the first of them.

    It is told once the contrary is refuted by bets, or once the samples that are left cannot change the answer.
    Under `Guarantee.POPULATION` nothing is accepted here: that takes an interval of the full evaluation.

    Args:
        drops: The limit, and what is known of fp32.
        error: Largest chance of rejecting a loss that is within the limit; that of accepting one beyond it is
            ``1 - criterion.confidence``.

    Attributes:
        accepted_at: Number of samples at which the loss was told to be within the limit.
        rejected_at: Number at which it was told to be beyond; after `accepted_at` only where it became certain.
    """

    def __init__(self, drops: Drops, error: float) -> None:
        self._drops = drops
        self._reject_above = math.log(1 / error)
        self._accept_above = math.log(1 / (1 - drops.criterion.confidence))
        self._may_accept = drops.criterion.guarantee is Guarantee.SAMPLE
        self._seen: list[Floats] = []
        self._count = 0
        self._sum = 0.0
        self.accepted_at: int | None = None
        self.rejected_at: int | None = None
        self._begin(drops.step)

    def add(self, drops: Floats) -> None:
        """Take the drops of the next samples; a NaN settles it, because the score of all samples cannot be a number."""
        if self.rejected_at is not None:
            return
        undefined = np.isnan(drops)
        known = int(undefined.argmax()) if undefined.any() else len(drops)
        self._take(drops[:known])
        if known < len(drops) and self.rejected_at is None:
            self.rejected_at = self._count + 1

    def _begin(self, step: float | None) -> None:
        count = self._drops.population
        self._step = step
        self._limit = self._drops.thresholds(step)
        self._small = self._drops.bet_on_small(self._limit.beyond / count)
        self._large = self._drops.bet_on_large(self._limit.within / count)

    def _take(self, drops: Floats) -> None:
        off = self._drops.first_off_step(drops) if self._step is not None else None
        self._decide(drops[:off])
        if off is None or self.rejected_at is not None:
            return
        # Not right or wrong after all: bets on whole steps are void, and are made again without.
        self._begin(None)
        for seen in self._seen:
            self._small.add(-seen)
            self._large.add(seen)
        self._decide(drops[off:])

    def _decide(self, drops: Floats) -> None:
        if not len(drops):
            return
        seen, limit = self._count, self._limit
        self._seen.append(drops)
        self._count += len(drops)
        sums = np.cumsum(np.concatenate([[self._sum], drops]))[1:]
        self._sum = float(sums[-1])
        rest = slice(seen + 1, seen + 1 + len(drops))
        surely_within = sums + self._drops.rest_high[rest] <= limit.surely_within
        surely_beyond = sums + self._drops.rest_low[rest] > limit.surely_beyond
        within = surely_within | ((self._small.add(-drops) >= self._accept_above) & ~surely_beyond)
        beyond = surely_beyond | ((self._large.add(drops) >= self._reject_above) & ~surely_within)
        if self.accepted_at is None:
            accepted = _first(within, seen) if self._may_accept else None
            rejected = _first(beyond, seen)
            if accepted is None or (rejected is not None and rejected <= accepted):
                self.rejected_at = rejected
                return
            self.accepted_at = accepted
        self.rejected_at = _first(surely_beyond, seen)


def _first(decided: NDArray[np.bool_], seen: int) -> int | None:
    """Number of samples at which it is first so."""
    return seen + int(decided.argmax()) + 1 if decided.any() else None
