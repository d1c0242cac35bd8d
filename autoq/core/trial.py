"""What came of one proposal."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from autoq.core.interval import Interval
from autoq.core.number import to_plain
from autoq.core.plan import Plan, Proposal


class TrialState(StrEnum):
    """Life of a trial. Only `COMPLETE` has scores; `FAILED` and `CRASHED` have an error."""

    RUNNING = "running"
    COMPLETE = "complete"
    FAILED = "failed"
    CRASHED = "crashed"


class FailureKind(StrEnum):
    """Why a trial has no scores."""

    BUILD = "build"
    EVALUATE = "evaluate"
    NOT_FINITE = "not_finite"
    MEMORY = "memory"
    TIMEOUT = "timeout"
    CRASH = "crash"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a trial failed: its kind, and one readable sentence or more."""

    kind: FailureKind
    message: str


@dataclass(frozen=True, slots=True)
class MetricScore:
    """One metric of one trial, against fp32 on the same samples.

    Attributes:
        metric: Name of the metric.
        value: The candidate's score on `samples`.
        baseline: fp32's score on the same samples.
        loss: Loss in the criterion's unit with its interval; positive is worse.
        limit: Largest loss accepted.
        met: Whether the criterion holds.
        samples: Samples scored.
        interval: `value` with its own uncertainty, where it stands alone (fp32); beside fp32 the loss tells more.
    """

    metric: str
    value: float
    baseline: float
    loss: Interval
    limit: float
    met: bool
    samples: int
    interval: Interval | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain data; the inverse of `from_json`."""
        return {
            "metric": self.metric,
            "value": to_plain(self.value),
            "baseline": to_plain(self.baseline),
            "loss": self.loss.to_json(),
            "limit": self.limit,
            "met": self.met,
            "samples": self.samples,
            "interval": self.interval.to_json() if self.interval is not None else None,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> MetricScore:
        """Rebuild from `to_json`."""
        numbers = {"value": float(data["value"]), "baseline": float(data["baseline"])}
        alone = data.get("interval")
        intervals = {
            "loss": Interval.from_json(data["loss"]),
            "interval": Interval.from_json(alone) if alone is not None else None,
        }
        return cls(**{**data, **numbers, **intervals})


@dataclass(frozen=True, slots=True)
class Latency:
    """Latency measured interleaved with fp32 in one process, or estimated from plans that were.

    Attributes:
        seconds: Median seconds of one batch.
        reference_seconds: Median seconds of fp32 in the same rounds.
        ratio: Median of the paired ratios candidate / fp32 with its interval; below 1 is faster.
        rounds: Pairs measured; 0 where it is estimated.
        estimated: Not measured: a guess that orders a search, and never decides.
    """

    seconds: float
    reference_seconds: float
    ratio: Interval
    rounds: int
    estimated: bool = False

    def to_json(self) -> dict[str, Any]:
        """Plain data; the inverse of `from_json`."""
        return {
            "seconds": to_plain(self.seconds),
            "reference_seconds": to_plain(self.reference_seconds),
            "ratio": self.ratio.to_json(),
            "rounds": self.rounds,
            "estimated": self.estimated,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Latency:
        """Rebuild from `to_json`."""
        seconds, reference = float(data["seconds"]), float(data["reference_seconds"])
        ratio = Interval.from_json(data["ratio"])
        return cls(seconds, reference, ratio, data["rounds"], data.get("estimated", False))


@dataclass(frozen=True)
class Trial:
    """One proposal and what came of it.

    Attributes:
        number: Position in the job, from 0.
        proposal: What the strategy asked for.
        state: Where it stands.
        scores: One per metric, in the job's order.
        latency: Speed against fp32; None when it was not asked for.
        size_bytes: Bytes of the saved model.
        memory_bytes: Peak memory of inference above the idle process; None when not measured.
        objective: Weighted cost relative to fp32 (below 1 is better), None while unknown.
        seconds: Seconds by phase: ``build``, ``compile``, ``evaluate``, ``latency``.
        realized: What the runtime really executes, read back from it.
        failure: Why there are no scores.
        full: Scored on the whole tune split.
        decided: Stopped before, because what was seen decides it; `met` then says which way.
        divergence: Relative squared error of the outputs against fp32's on the first few samples: continuous, where
            a metric on few samples is coarse. None where outputs cannot be compared.
        reference: Scored on a faithful reference of what is deployed, not on that itself.
    """

    number: int
    proposal: Proposal
    state: TrialState
    scores: tuple[MetricScore, ...] = ()
    latency: Latency | None = None
    size_bytes: int | None = None
    memory_bytes: int | None = None
    objective: float | None = None
    seconds: Mapping[str, float] = field(default_factory=dict, hash=False)
    realized: Plan | None = None
    failure: Failure | None = None
    full: bool = False
    reference: bool = False
    decided: bool = False
    divergence: float | None = None

    @property
    def plan(self) -> Plan:
        """The plan that was asked for."""
        return self.proposal.plan

    @property
    def met(self) -> bool:
        """True when it completed and every metric's criterion holds on the samples scored."""
        return self.state is TrialState.COMPLETE and bool(self.scores) and all(s.met for s in self.scores)

    @property
    def accepted(self) -> bool:
        """True when every criterion holds on the whole tune split, or is decided to hold there."""
        return self.met and (self.full or self.decided)

    @property
    def samples(self) -> int:
        """Samples scored; 0 without scores."""
        return min((s.samples for s in self.scores), default=0)

    @property
    def excess(self) -> float:
        """How far the worst metric is beyond its limit, in limits (0 is on the limit, below is better).

        Infinite for a trial without scores, or with a loss that is not a number. A limit of zero counts as one
        thousandth.
        """
        if self.state is not TrialState.COMPLETE or not self.scores:
            return math.inf
        if any(math.isnan(s.loss.value) for s in self.scores):
            return math.inf
        return max((s.loss.value - s.limit) / max(s.limit, 1e-3) for s in self.scores)

    @property
    def speed(self) -> float | None:
        """Latency relative to fp32, or None."""
        return self.latency.ratio.value if self.latency else None

    def with_(self, **changes: Any) -> Trial:
        """A copy with some fields changed."""
        return replace(self, **changes)

    def to_json(self) -> dict[str, Any]:
        """Plain data; the inverse of `from_json`."""
        return {
            "number": self.number,
            "proposal": self.proposal.to_json(),
            "state": str(self.state),
            "scores": [s.to_json() for s in self.scores],
            "latency": self.latency.to_json() if self.latency else None,
            "size_bytes": self.size_bytes,
            "memory_bytes": self.memory_bytes,
            "objective": None if self.objective is None else to_plain(self.objective),
            "seconds": dict(self.seconds),
            "realized": self.realized.to_json() if self.realized is not None else None,
            "failure": {"kind": str(self.failure.kind), "message": self.failure.message} if self.failure else None,
            "full": self.full,
            "reference": self.reference,
            "decided": self.decided,
            "divergence": None if self.divergence is None else to_plain(self.divergence),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Trial:
        """Rebuild from `to_json`."""
        latency, realized, failure, objective = (data[k] for k in ("latency", "realized", "failure", "objective"))
        return cls(
            data["number"],
            Proposal.from_json(data["proposal"]),
            TrialState(data["state"]),
            tuple(MetricScore.from_json(s) for s in data["scores"]),
            Latency.from_json(latency) if latency else None,
            data["size_bytes"],
            data["memory_bytes"],
            None if objective is None else float(objective),
            data["seconds"],
            Plan.from_json(realized) if realized is not None else None,
            Failure(FailureKind(failure["kind"]), failure["message"]) if failure else None,
            data["full"],
            data.get("reference", False),
            data.get("decided", False),
            None if data.get("divergence") is None else float(data["divergence"]),
        )
