"""Which of several runs is faster, told from rounds that ran them all, and when there are enough of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations

from autoq.core.interval import Interval
from autoq.evaluation.intervals import median_ratio_interval

Times = Mapping[str, Sequence[float]]


class Ordering:
    """Tells every pair of runs apart, or calls it a tie.

    Looking again and again at an interval until it excludes 1 finds a difference sooner or later where there is none.
    So the error ``1 - confidence`` is split over all looks and pairs: look j has the share ``1 / (j (j + 1))``, which
    sums up to 1 however many looks there are, and each pair an equal part of that (Bonferroni). All that is ever told
    apart is then in the right order with `confidence`, as far as rounds are independent: a disturbance that hits one
    model for several rounds in a row counts as one round more than once.

    Args:
        names: What is compared.
        confidence: Of the whole order.
        precision: A pair whose ratio is known to this half-width, and may still be 1, is a tie.
    """

    def __init__(self, names: Sequence[str], confidence: float, precision: float) -> None:
        self._pairs = tuple(combinations(names, 2))
        self._error = 1 - confidence
        self._precision = precision
        self._looks = 0
        self._apart: set[frozenset[str]] = set()

    def look(self, times: Times) -> bool:
        """Look at all rounds so far, each a list of seconds by name; True when every pair is settled."""
        self._looks += 1
        settled = True
        for first, second in self._pairs:
            if frozenset((first, second)) in self._apart:
                continue
            ratio = self._ratio(times, first, second)
            reached = ratio.confidence >= self._level
            if reached and not ratio.low <= 1 <= ratio.high:
                self._apart.add(frozenset((first, second)))
            elif not reached or (ratio.high - ratio.low) / 2 > self._precision * ratio.value:
                settled = False
        return settled

    @property
    def ties(self) -> frozenset[frozenset[str]]:
        """The pairs that no look has told apart."""
        return frozenset(frozenset(p) for p in self._pairs) - self._apart

    def ratio(self, times: Times, name: str, reference: str, confidence: float) -> Interval:
        """The ratio of two runs, wide enough to hold at this look as at all others, with `confidence`."""
        found = self._ratio(times, name, reference)
        return replace(found, confidence=min(confidence, found.confidence))

    @property
    def _level(self) -> float:
        look = max(self._looks, 1)
        return 1 - self._error / (look * (look + 1) * max(len(self._pairs), 1))

    def _ratio(self, times: Times, first: str, second: str) -> Interval:
        return median_ratio_interval(times[first], times[second], self._level)
