"""The protocol of a search strategy: two methods."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from autoq.core.inquiry import Findings, Inquiry
from autoq.core.objective import Quantity
from autoq.core.plan import Done, Proposal, Wait
from autoq.core.space import Space, Unit
from autoq.core.trial import Trial


@dataclass(frozen=True)
class Costs:
    """What is known of speed before the first trial: measured once, stored, re-read on resume.

    Attributes:
        float_seconds: Seconds of each op in fp32 from the runtime's profiler, by op id.
        quantized_seconds: Seconds of each op in the fully quantized model, by op id.
        samples: Samples in the tune split.
        score_seconds: Seconds to score one sample in fp32.
        sequential: Whether a trial stops as soon as it is decided, so that hopeless and easy plans cost little.
        quantities: What the objective counts, in the job's order.
    """

    float_seconds: Mapping[str, float] = field(default_factory=dict, hash=False)
    quantized_seconds: Mapping[str, float] = field(default_factory=dict, hash=False)
    samples: int = 0
    score_seconds: float = 0.0
    sequential: bool = False
    quantities: tuple[Quantity, ...] = (Quantity.LATENCY,)

    def saving(self, unit: Unit) -> float:
        """Seconds that quantizing this unit is believed to save; 1 for each op when nothing was profiled."""
        total = 0.0
        for op in unit.ops:
            if op.id in self.float_seconds:
                spent = self.float_seconds[op.id]
                total += spent - self.quantized_seconds.get(op.id, 0.5 * spent)
            elif not self.float_seconds:
                total += 1.0
        return total

    def to_json(self) -> dict[str, Any]:
        """Plain data; the inverse of `from_json`."""
        return {
            "float_seconds": dict(self.float_seconds),
            "quantized_seconds": dict(self.quantized_seconds),
            "samples": self.samples,
            "score_seconds": self.score_seconds,
            "sequential": self.sequential,
            "quantities": [str(q) for q in self.quantities],
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Costs:
        """Rebuild from `to_json`."""
        return cls(**{**data, "quantities": tuple(Quantity(q) for q in data["quantities"])})


class Strategy(Protocol):
    """Chooses what to try next.

    A strategy is a pure function of space, costs, seed and the asks and tells so far: the same history
    gives the same next proposal, which is how a job resumes. It is told everything it knows.
    """

    def ask(self) -> Proposal | Inquiry | Wait | Done:
        """The next proposal, or a question; `Wait` when open ones must be answered first; `Done` when nothing is left.

        After `Wait`, it is asked again once something was told. `Done` is final.
        """

    def tell(self, news: Trial | Findings) -> None:
        """A finished trial, failed ones included, or what was found about an inquiry.

        The first one told is fp32 itself, number 0; then, before anything is asked, rivals that need no search (plans
        in float under recipes, e.g. compiled).
        """


class StrategyFactory(Protocol):
    """How a strategy is made; further keyword arguments come from the job's ``strategy`` section."""

    def __call__(self, space: Space, costs: Costs, seed: int, **options: Any) -> Strategy:
        """A strategy that has seen nothing yet."""
