"""How much of a metric may be lost."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from autoq.core.errors import ConfigError
from autoq.core.interval import Interval

ROUNDING = 1e-9
"""Slack for floating-point noise: a loss of exactly the limit is within it."""


class Tolerance(StrEnum):
    """Whether the limit is a share of the baseline or a difference in the metric's own unit."""

    RELATIVE = "relative"
    ABSOLUTE = "absolute"


class Guarantee(StrEnum):
    """`sample`: the measured loss decides. `population`: its upper confidence bound must hold too."""

    SAMPLE = "sample"
    POPULATION = "population"


@dataclass(frozen=True)
class Criterion:
    """The maximum loss of one metric against the fp32 baseline.

    The loss is positive when the candidate is worse, whatever the metric's direction:
    ``drop = baseline − score`` (or ``score − baseline`` where lower is better), and for a relative
    criterion ``drop / |baseline|``. With a baseline of zero a relative loss is 0 when nothing was lost and
    infinite otherwise, so a relative limit still means "no loss at all".

    Attributes:
        metric: Name of the metric, as in the job.
        limit: Largest loss that is acceptable, e.g. .01 for 1 % (relative).
        tolerance: Relative or absolute.
        higher_is_better: Direction of the metric.
        confidence: Coverage of the printed intervals.
        guarantee: What acceptance demands.
    """

    metric: str
    limit: float = 0.01
    tolerance: Tolerance = Tolerance.RELATIVE
    higher_is_better: bool = True
    confidence: float = 0.95
    guarantee: Guarantee = Guarantee.SAMPLE

    def __post_init__(self) -> None:
        if not math.isfinite(self.limit) or self.limit < 0:
            raise ConfigError(f"the accuracy limit must be a finite number of at least 0, not {self.limit}")
        if not 0.5 < self.confidence < 1:
            raise ConfigError(f"confidence must lie between .5 and 1, not {self.confidence}")

    def drop(self, score: float, baseline: float) -> float:
        """How much worse `score` is, in the metric's unit; negative when it is better."""
        return baseline - score if self.higher_is_better else score - baseline

    def loss(self, score: float, baseline: float) -> float:
        """How much worse `score` is, in the criterion's unit."""
        return self.loss_of_drop(self.drop(score, baseline), baseline)

    def loss_of_drop(self, drop: float, baseline: float) -> float:
        """A drop in the metric's unit, converted to the criterion's unit."""
        if self.tolerance is Tolerance.ABSOLUTE:
            return drop
        if math.isnan(drop):
            # Its sign bit is arbitrary: it must not become an infinite gain below.
            return drop
        if baseline == 0:
            return 0.0 if drop == 0 else math.copysign(math.inf, drop)
        return drop / abs(baseline)

    def allowed_drop(self, baseline: float) -> float:
        """The limit in the metric's unit."""
        return self.limit if self.tolerance is Tolerance.ABSOLUTE else self.limit * abs(baseline)

    def met(self, loss: Interval) -> bool:
        """Whether a loss (in the criterion's unit) keeps the promise."""
        largest = self.limit + ROUNDING
        # Two comparisons rather than one with max(), which may drop a NaN: a loss that is not known is not met.
        return loss.value <= largest and (self.guarantee is Guarantee.SAMPLE or loss.high <= largest)

    @property
    def label(self) -> str:
        """``top1: at most 1 % loss (relative)``."""
        amount = f"{self.limit:.4g}" if self.tolerance is Tolerance.ABSOLUTE else f"{100 * self.limit:.4g} %"
        return f"{self.metric}: at most {amount} loss ({self.tolerance})"

    def to_json(self) -> dict[str, Any]:
        """Plain data; the inverse of `from_json`."""
        return {
            "metric": self.metric,
            "limit": self.limit,
            "tolerance": str(self.tolerance),
            "higher_is_better": self.higher_is_better,
            "confidence": self.confidence,
            "guarantee": str(self.guarantee),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Criterion:
        """Rebuild from `to_json`."""
        return cls(
            data["metric"],
            data["limit"],
            Tolerance(data["tolerance"]),
            data["higher_is_better"],
            data["confidence"],
            Guarantee(data["guarantee"]),
        )
