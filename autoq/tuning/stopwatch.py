"""Latency of candidates, in this process or of several instances side by side."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from autoq.core.adaptor import Candidate
from autoq.core.batch import Inputs
from autoq.core.plan import LatencyEffort
from autoq.core.trial import Latency
from autoq.evaluation.latency import Ordered, interleave, interleave_until_ordered
from autoq.tuning.instances import measure_instances
from autoq.tuning.setup import Setup


class Stopwatch:
    """Measures as a job says.

    Args:
        setup: The job's.
        clock: Seconds, monotonic.
        inputs: One batch, what every run takes.
    """

    def __init__(self, setup: Setup, clock: Callable[[], float], inputs: Inputs) -> None:
        self._setup = setup
        self._clock = clock
        self._inputs = inputs

    def measure(self, candidates: Mapping[str, Candidate], reference: str, effort: LatencyEffort) -> Ordered:
        """Latencies by name, relative to the reference; in full, until it is clear which candidate is faster."""
        settings, setup = self._setup.latency, self._setup
        if settings.instances > 1:
            return self._side_by_side(candidates, reference, effort)
        runs = {name: _runner_of(candidate, self._inputs) for name, candidate in candidates.items()}
        how = {
            "warmup": settings.warmup,
            "confidence": settings.confidence,
            "seed": setup.seed,
            "clock": self._clock,
            **settings.effort(effort),
        }
        if effort is LatencyEffort.FULL:
            return interleave_until_ordered(runs, reference, **how)
        return Ordered(interleave(runs, reference, **how), frozenset())

    def _side_by_side(self, candidates: Mapping[str, Candidate], reference: str, effort: LatencyEffort) -> Ordered:
        settings, setup = self._setup.latency, self._setup
        limits = settings.effort(effort)
        with tempfile.TemporaryDirectory(prefix="autoq-instances-") as scratch:
            folders = {name: Path(scratch) / name for name in candidates}
            for name, candidate in candidates.items():
                folders[name].mkdir()
                setup.adaptor.save(candidate, folders[name])
            found = measure_instances(
                setup.framework,
                folders,
                reference,
                self._inputs,
                instances=settings.instances,
                threads=setup.options.threads,
                rounds=limits["rounds"],
                seconds=limits["seconds"],
                confidence=settings.confidence,
                seed=setup.seed,
            )
        names = list(found)
        pairs = [frozenset((a, b)) for i, a in enumerate(names) for b in names[i + 1 :]]
        return Ordered(found, frozenset(pair for pair in pairs if _overlap(found, pair)))


def _overlap(found: Mapping[str, Latency], pair: frozenset[str]) -> bool:
    first, second = sorted(pair)
    return found[first].ratio.overlaps(found[second].ratio)


def _runner_of(candidate: Candidate, inputs: Inputs) -> Callable[[], object]:
    return lambda: candidate.predict(inputs)
