"""Latency by interleaving: every round runs every model once, so that drift of the machine hits all alike."""

from __future__ import annotations

import gc
import math
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import numpy as np

from autoq.core.errors import EvaluationError
from autoq.core.interval import Interval
from autoq.core.trial import Latency
from autoq.evaluation.intervals import median_ratio_interval

RESOLVED = 1e-3
"""Seconds one timing takes at least: shorter runs are repeated inside a round."""


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

    Each round times every model once, in a fresh random order. Measuring ends after `rounds`; earlier when at least
    `min_rounds` are done and every ratio's interval has a half-width of at most `precision` of the ratio; and when
    `seconds` are used up, though never before `least_rounds`.

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
    if reference not in runs:
        raise EvaluationError(f"the reference '{reference}' is not among the runs: {', '.join(runs)}")
    if rounds < 1:
        raise EvaluationError(f"at least one round is needed to measure latency, not {rounds}")
    generator = np.random.default_rng(seed)
    names = list(runs)
    start = clock()
    repeats = {name: _repeats(runs[name], warmup, clock) for name in names}
    times: dict[str, list[float]] = {name: [] for name in names}
    next_check = min_rounds
    for done in range(1, rounds + 1):
        with _no_collection():
            for i in generator.permutation(len(names)):
                name = names[int(i)]
                times[name].append(_timed(runs[name], repeats[name], clock))
        if seconds is not None and done >= least_rounds and clock() - start >= seconds:
            break
        if precision is not None and done >= next_check:
            # Looking only now and then keeps the early stop from picking lucky moments.
            next_check = math.ceil(done * 1.2)
            others = (_ratio(times, name, reference, confidence) for name in names if name != reference)
            if all(_is_narrow(ratio, precision) for ratio in others):
                break
    return {name: _latency(times, name, reference, confidence) for name in names}


def _repeats(run: Callable[[], object], warmup: int, clock: Callable[[], float]) -> int:
    for _ in range(warmup):
        run()
    once = min(_timed(run, 1, clock) for _ in range(3))
    return 1 if once >= RESOLVED else min(1000, math.ceil(RESOLVED / max(once, 1e-9)))


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


def _latency(times: Mapping[str, list[float]], name: str, reference: str, confidence: float) -> Latency:
    same = Interval(1.0, 1.0, 1.0, confidence)
    return Latency(
        seconds=statistics.median(times[name]),
        reference_seconds=statistics.median(times[reference]),
        ratio=same if name == reference else _ratio(times, name, reference, confidence),
        rounds=len(times[name]),
    )
