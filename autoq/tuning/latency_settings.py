"""How carefully latency is measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from autoq.core.plan import LatencyEffort

_PATIENCE = 20
"""A full measurement whose interval does not settle ends after so many times its rounds."""


_LEAST_ROUNDS = 6
"""However slow a model is: fewer pairs give no interval of 95 %."""


@dataclass(frozen=True)
class LatencySettings:
    """How latency is measured.

    Attributes:
        warmup: Runs before the clock starts.
        rounds: Interleaved rounds of a full measurement; more until its interval has settled.
        batch_size: Samples per run.
        confidence: Coverage of the ratio's interval.
        instances: Processes that run side by side; 1 measures in this very process.
    """

    warmup: int = 5
    rounds: int = 100
    batch_size: int = 1
    confidence: float = 0.95
    instances: int = 1

    def effort(self, effort: LatencyEffort) -> dict[str, Any]:
        """Rounds, seconds and precision (relative half-width of the interval) of an effort."""
        if effort is LatencyEffort.FULL:
            return {
                "min_rounds": self.rounds,
                "rounds": _PATIENCE * self.rounds,
                "least_rounds": _LEAST_ROUNDS,
                "seconds": 10.0,
                "precision": 0.01,
            }
        return {"rounds": min(self.rounds, 30), "least_rounds": _LEAST_ROUNDS, "seconds": 1.5, "precision": 0.03}
