"""Latency by interleaving: every round runs every model, so that drift of the machine hits all alike.

What is measured is a model in service, whose weights and buffers lie in the processor's caches as far as they fit. The
model that ran before has driven them out, so each timing follows an untimed run of the same model. One such run is a
compromise with the time it takes. In turns with fp32 in one process, medians of 25 rounds, an int8 ResNet18 (11 MB of
weights, one thread) took 9.5 ms behind no run of its own, 9.3 behind one and 8.5 behind five, fp32 30.4 ms behind any.
"""

from __future__ import annotations

import gc
import math
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from autoq.core.errors import EvaluationError
from autoq.core.interval import Interval
from autoq.core.trial import Latency
from autoq.evaluation.intervals import median_ratio_interval
from autoq.evaluation.ordering import Ordering

RESOLVED = 1e-3
"""Seconds one timing takes at least: shorter runs are repeated inside a round."""

SETTLING = 0.25
"""Runs that take longer are timed at once: filling the caches is a small part of them, and a second run costs much."""


def interleave(
    runs: Mapping[str, Callable[[], object]],
    reference: str,
    *,
    warmup: int,
    rounds: int,
    min_rounds: int = 10,
    least_rounds: int = 1,
    seconds: float | None = None,
    precision: float | None = None,
    confidence: float = 0.95,
    seed: int = 0,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Latency]:
    """Measure several models side by side.

    Each round times every model once, in a fresh random order, behind an untimed run of its own. Measuring ends
    after `rounds`; earlier when at least `min_rounds` are done and every ratio's interval has a half-width of at
    most `precision` of the ratio; and when `seconds` are used up, though never before `least_rounds`.

    The early stop asks how wide an interval is and not where it lies, at looks that are a fifth of the rounds apart:
    that leaves the coverage of an interval close to its nominal one. To stop by what the ratios say, use
    `interleave_until_ordered`.

    Args:
        runs: What to run, by name; each call is one inference.
        reference: Name of the run that ratios are relative to.
        warmup: Calls of each run before the clock starts.
        rounds: Rounds at most.
        min_rounds: Rounds before `precision` may end the measurement.
        least_rounds: Rounds that are done although `seconds` are used up: an interval needs a few.
        seconds: Time limit of warm-up and rounds together, or None.
        precision: Relative half-width that is good enough, e.g. .01, or None to use all rounds.
        confidence: Coverage of the intervals.
        seed: Seed of the orders.
        clock: Seconds, monotonic.

    Returns:
        Latency by name; the reference's own ratio is exactly 1.

    Raises:
        EvaluationError: The reference is not among the runs, or `rounds` is below 1.
    """
    rounds_of = _Rounds(runs, reference, warmup, rounds, least_rounds, seconds, seed, clock)
    next_check = min_rounds
    for done in rounds_of:
        if precision is not None and done >= next_check:
            # Looking only now and then keeps the early stop from picking lucky moments.
            next_check = math.ceil(done * 1.2)
            others = (_ratio(rounds_of.times, n, reference, confidence) for n in runs if n != reference)
            if all(_is_narrow(ratio, precision) for ratio in others):
                break
    times = rounds_of.times
    return {n: _latency(times, n, reference, _ratio(times, n, reference, confidence), confidence) for n in runs}


@dataclass(frozen=True)
class Ordered:
    """Runs in order of speed.

    Attributes:
        latencies: By name, fastest first by ratio; intervals hold although measuring ended when the order was clear.
        ties: Pairs of names whose order is not clear.
    """

    latencies: Mapping[str, Latency]
    ties: frozenset[frozenset[str]]

    def is_tie(self, first: str, second: str) -> bool:
        """Whether the order of two runs is not clear."""
        return frozenset((first, second)) in self.ties


def interleave_until_ordered(
    runs: Mapping[str, Callable[[], object]],
    reference: str,
    *,
    warmup: int,
    rounds: int,
    precision: float,
    min_rounds: int = 10,
    least_rounds: int = 1,
    seconds: float | None = None,
    confidence: float = 0.95,
    seed: int = 0,
    clock: Callable[[], float] = time.perf_counter,
) -> Ordered:
    """Measure several models side by side until it is clear which is faster, fp32 among them.

    As `interleave`, but measuring ends when of every two runs the interval of their paired ratio excludes 1, or has a
    half-width of at most `precision` of it: a tie. It is looked at after `min_rounds` and whenever there are half as
    many rounds again, and each look has its share of the error (see `Ordering`): order and intervals hold with
    `confidence` all together. When `rounds` or `seconds` are used up, what is not clear then is a tie.

    Args:
        runs: What to run, by name; each call is one inference.
        reference: Name of the run that ratios are relative to.
        warmup: Calls of each run before the clock starts.
        rounds: Rounds at most.
        precision: Relative half-width below which a difference does not matter, e.g. .01.
        min_rounds: Rounds before the first look.
        least_rounds: Rounds that are done although `seconds` are used up.
        seconds: Time limit of warm-up and rounds together, or None.
        confidence: Of the whole order, and of all ratios together.
        seed: Seed of the orders within a round.
        clock: Seconds, monotonic.

    Raises:
        EvaluationError: The reference is not among the runs, or `rounds` is below 1.
    """
    rounds_of = _Rounds(runs, reference, warmup, rounds, least_rounds, seconds, seed, clock)
    ordering = Ordering(list(runs), confidence, precision)
    times, next_look, looked = rounds_of.times, min_rounds, 0
    for done in rounds_of:
        if done >= next_look:
            next_look, looked = math.ceil(done * 1.5), done
            if ordering.look(times):
                break
    if looked < len(times[reference]):
        ordering.look(times)
    ratios = {n: ordering.ratio(times, n, reference, confidence) for n in runs}
    ranked = sorted(runs, key=lambda n: ratios[n].value)
    return Ordered({n: _latency(times, n, reference, ratios[n], confidence) for n in ranked}, ordering.ties)


class _Rounds:
    """Rounds of timings; iterating does one after another and says how many are done."""

    def __init__(
        self,
        runs: Mapping[str, Callable[[], object]],
        reference: str,
        warmup: int,
        rounds: int,
        least_rounds: int,
        seconds: float | None,
        seed: int,
        clock: Callable[[], float],
    ) -> None:
        if reference not in runs:
            raise EvaluationError(f"the reference '{reference}' is not among the runs: {', '.join(runs)}")
        if rounds < 1:
            raise EvaluationError(f"at least one round is needed to measure latency, not {rounds}")
        self._runs, self._warmup, self._clock = runs, warmup, clock
        self._rounds, self._least_rounds, self._seconds = rounds, least_rounds, seconds
        self._generator = np.random.default_rng(seed)
        self.times: dict[str, list[float]] = {name: [] for name in runs}

    def __iter__(self) -> Iterator[int]:
        names, clock = list(self._runs), self._clock
        start = clock()
        paces = {name: _pace(self._runs[name], self._warmup, clock) for name in names}
        for done in range(1, self._rounds + 1):
            with _no_collection():
                for i in self._generator.permutation(len(names)):
                    name = names[int(i)]
                    run, pace = self._runs[name], paces[name]
                    if pace.settles:
                        run()
                    self.times[name].append(_timed(run, pace.repeats, clock))
            if self._seconds is not None and done >= self._least_rounds and clock() - start >= self._seconds:
                return
            yield done


@dataclass(frozen=True, slots=True)
class _Pace:
    """How one model is timed in a round.

    Attributes:
        repeats: Runs that one timing is the mean of.
        settles: Whether an untimed run goes before.
    """

    repeats: int
    settles: bool


def _pace(run: Callable[[], object], warmup: int, clock: Callable[[], float]) -> _Pace:
    for _ in range(warmup):
        run()
    once = min(_timed(run, 1, clock) for _ in range(3))
    repeats = 1 if once >= RESOLVED else min(1000, math.ceil(RESOLVED / max(once, 1e-9)))
    return _Pace(repeats, once <= SETTLING)


def _timed(run: Callable[[], object], repeats: int, clock: Callable[[], float]) -> float:
    start = clock()
    for _ in range(repeats):
        run()
    return (clock() - start) / repeats


@contextmanager
def _no_collection() -> Iterator[None]:
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _is_narrow(ratio: Interval, precision: float) -> bool:
    return (ratio.high - ratio.low) / 2 <= precision * ratio.value


def _ratio(times: Mapping[str, list[float]], name: str, reference: str, confidence: float) -> Interval:
    return median_ratio_interval(times[name], times[reference], confidence)


def _latency(
    times: Mapping[str, list[float]], name: str, reference: str, ratio: Interval, confidence: float
) -> Latency:
    return Latency(
        seconds=statistics.median(times[name]),
        reference_seconds=statistics.median(times[reference]),
        ratio=Interval(1.0, 1.0, 1.0, confidence) if name == reference else ratio,
        rounds=len(times[name]),
    )
