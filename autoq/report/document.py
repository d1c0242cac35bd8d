"""Everything a report says, as data: `report.json` is this, and the page is made from it alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from autoq.core.capability import Op
from autoq.core.criterion import Criterion
from autoq.core.deployed import Deployment
from autoq.core.errors import StoreError
from autoq.core.objective import Objective
from autoq.core.plan import FP32_PLAN, Plan
from autoq.core.precision import OpPrecision
from autoq.core.trial import Latency, Trial
from autoq.report.sensitivity import Sensitivities
from autoq.report.verdict import HeldOutResult, Verdict, verdict_of
from autoq.tuning.front import FrontPoint
from autoq.tuning.obstacles import Obstacles

SCHEMA = 1
"""Raised when older programs could no longer read the file."""


@dataclass(frozen=True)
class ModelFacts:
    """The fp32 model.

    Attributes:
        name: As in the job.
        framework: The adaptor.
        size_bytes: Bytes on disk.
        fingerprint: Content address of graph and weights.
        inputs: One readable line each: name, type and shape.
        outputs: One readable line each.
    """

    name: str
    framework: str
    size_bytes: int
    fingerprint: str
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()


@dataclass(frozen=True)
class OpRow:
    """One op of the plan the report shows.

    Attributes:
        op: The op.
        asked: What the plan says.
        realized: What the runtime really executes.
        seconds: Seconds of the op in fp32, if profiled.
        note: What the capability table says of it beside, e.g. what else its kernel does.
    """

    op: Op
    asked: OpPrecision
    realized: OpPrecision
    seconds: float | None = None
    note: str = ""

    @property
    def fallback(self) -> bool:
        """True when the runtime executes another mode than it was asked for."""
        return self.asked.mode != self.realized.mode


@dataclass(frozen=True)
class ReplayStep:
    """Something the reader can do: what, and the command for it."""

    what: str
    command: str


@dataclass(frozen=True)
class ReportDocument:
    """Everything a report says.

    Attributes:
        job_id: The job in the store.
        created: When the report was made, ISO 8601.
        model: The fp32 model.
        samples: Evaluation samples by split.
        batch_size: Samples per latency run.
        criteria: The promise, one per metric.
        objective: What was made small.
        baseline: fp32 as trial 0.
        trials: All finished trials, the baseline included.
        best: The accepted trial that was handed over; None when the answer is fp32.
        attempt: Where nothing was accepted, the trial that came nearest.
        held_out: The verdict on samples the search never saw, or None.
        ops: All ops, in execution order.
        op_seconds: Seconds per op in fp32, where profiled.
        op_notes: What the capability table says of an op beside its precisions.
        full_latencies: Careful latency of the finalists, by plan digest.
        memory: Peak inference memory in bytes, of ``fp32`` and ``best``.
        seconds: Seconds by phase.
        stop_reason: Why the search ended.
        strategy: Its name.
        explanation: What it did, in its own words.
        seed: The job's random seed.
        environment: Versions, processor, threads.
        job_yaml: The job file's text.
        replay: How to run it again.
        notes: What the reader should know before trusting a number.
        deployment: What the deployment gate found, or None.
        sensitivities: What the strategy asked to be measured of single ops.
        ties: Numbers of finalists whose latencies cannot be told apart, per tie.
        front: The Pareto front, where the job has several objectives.
        obstacles: Where nothing was accepted: what stood in the way, or None.
    """

    job_id: str
    created: str
    model: ModelFacts
    samples: Mapping[str, int]
    batch_size: int
    criteria: tuple[Criterion, ...]
    objective: Objective
    baseline: Trial
    trials: tuple[Trial, ...]
    best: Trial | None
    attempt: Trial | None
    held_out: HeldOutResult | None
    ops: tuple[Op, ...]
    stop_reason: str
    strategy: str
    seed: int
    op_seconds: Mapping[str, float] = field(default_factory=dict)
    op_notes: Mapping[str, str] = field(default_factory=dict)
    full_latencies: Mapping[str, Latency] = field(default_factory=dict)
    memory: Mapping[str, int] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    explanation: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    job_yaml: str = ""
    replay: tuple[ReplayStep, ...] = ()
    notes: tuple[str, ...] = ()
    deployment: Deployment | None = None
    sensitivities: tuple[Sensitivities, ...] = ()
    ties: tuple[tuple[int, ...], ...] = ()
    front: tuple[FrontPoint, ...] = ()
    obstacles: Obstacles | None = None

    @cached_property
    def verdict(self) -> Verdict:
        """The answer in short."""
        shown = self.shown
        if shown is not None:
            shown = shown.with_(latency=self.latency_of(shown))
        trials = [t.with_(latency=self.latency_of(t)) for t in self.trials]
        return verdict_of(self.criteria, self.objective, trials, shown, self.best is not None, self.held_out)

    @property
    def shown(self) -> Trial | None:
        """The trial that stands beside fp32: the best one, or else the attempt."""
        return self.best or self.attempt

    def latency_of(self, trial: Trial) -> Latency | None:
        """The careful latency of the trial's plan where there is one, else the one of the trial."""
        return self.full_latencies.get(trial.plan.digest, trial.latency)

    @cached_property
    def op_rows(self) -> tuple[OpRow, ...]:
        """Per op, in execution order: what the shown trial asked for, and what was realized."""
        asked: Plan = self.shown.plan if self.shown is not None else FP32_PLAN
        realized = self.shown.realized if self.shown is not None and self.shown.realized is not None else asked
        return tuple(
            OpRow(op, asked[op.id], realized[op.id], self.op_seconds.get(op.id), self.op_notes.get(op.id, ""))
            for op in self.ops
        )

    def to_json(self) -> dict[str, Any]:
        """Plain data that is strict JSON; the inverse of `from_json`."""
        return {
            "schema": SCHEMA,
            "verdict": _finite(self.verdict.to_json()),
            "job_id": self.job_id,
            "created": self.created,
            "model": asdict(self.model),
            "samples": dict(self.samples),
            "batch_size": self.batch_size,
            "criteria": [c.to_json() for c in self.criteria],
            "objective": self.objective.to_json(),
            "baseline": _finite(self.baseline.to_json()),
            "best": _finite(self.best.to_json()) if self.best is not None else None,
            "attempt": _finite(self.attempt.to_json()) if self.attempt is not None else None,
            "held_out": _finite(self.held_out.to_json()) if self.held_out is not None else None,
            "trials": [_finite(t.to_json()) for t in self.trials],
            "ops": [[op.id, op.type] for op in self.ops],
            "op_seconds": dict(self.op_seconds),
            "op_notes": dict(self.op_notes),
            "full_latencies": {k: _finite(v.to_json()) for k, v in self.full_latencies.items()},
            "memory": dict(self.memory),
            "seconds": dict(self.seconds),
            "stop_reason": self.stop_reason,
            "strategy": self.strategy,
            "explanation": self.explanation,
            "seed": self.seed,
            "environment": dict(self.environment),
            "job_yaml": self.job_yaml,
            "replay": [asdict(step) for step in self.replay],
            "notes": list(self.notes),
            "deployment": self.deployment.to_json() if self.deployment is not None else None,
            "sensitivities": [_finite(s.to_json()) for s in self.sensitivities],
            "ties": [list(tie) for tie in self.ties],
            "front": [p.to_json() for p in self.front],
            "obstacles": _finite(self.obstacles.to_json()) if self.obstacles is not None else None,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ReportDocument:
        """Rebuild from `to_json`.

        Raises:
            StoreError: Not a report, or one of a newer autoq.
        """
        if data.get("schema") != SCHEMA:
            raise StoreError(
                f"this report has schema {data.get('schema')!r}, and this autoq reads schema {SCHEMA}",
                hint="use the autoq version that wrote it, or a newer one",
            )
        try:
            return cls._rebuilt(_with_infinities(data))
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise StoreError(f"this report is damaged: {error!r}", hint="run the job again") from error

    @classmethod
    def _rebuilt(cls, data: Mapping[str, Any]) -> ReportDocument:
        model, held_out = data["model"], data["held_out"]
        return cls(
            job_id=data["job_id"],
            created=data["created"],
            model=ModelFacts(**{**model, "inputs": tuple(model["inputs"]), "outputs": tuple(model["outputs"])}),
            samples=data["samples"],
            batch_size=data["batch_size"],
            criteria=tuple(Criterion.from_json(c) for c in data["criteria"]),
            objective=Objective.from_json(data["objective"]),
            baseline=Trial.from_json(data["baseline"]),
            trials=tuple(Trial.from_json(t) for t in data["trials"]),
            best=Trial.from_json(data["best"]) if data["best"] else None,
            attempt=Trial.from_json(data["attempt"]) if data["attempt"] else None,
            held_out=HeldOutResult.from_json(held_out) if held_out else None,
            ops=tuple(Op(*op) for op in data["ops"]),
            op_seconds=data["op_seconds"],
            op_notes=data.get("op_notes", {}),
            full_latencies={k: Latency.from_json(v) for k, v in data["full_latencies"].items()},
            memory=data["memory"],
            seconds=data["seconds"],
            stop_reason=data["stop_reason"],
            strategy=data["strategy"],
            explanation=data["explanation"],
            seed=data["seed"],
            environment=data["environment"],
            job_yaml=data["job_yaml"],
            replay=tuple(ReplayStep(**step) for step in data["replay"]),
            notes=tuple(data["notes"]),
            deployment=Deployment.from_json(data["deployment"]) if data.get("deployment") else None,
            sensitivities=tuple(Sensitivities.from_json(s) for s in data.get("sensitivities", ())),
            ties=tuple(tuple(tie) for tie in data.get("ties", ())),
            front=tuple(FrontPoint.from_json(p) for p in data.get("front", ())),
            obstacles=Obstacles.from_json(data["obstacles"]) if data.get("obstacles") else None,
        )


_NOT_FINITE = "not_finite"


def _finite(data: Any) -> Any:
    """JSON has no infinity and no NaN: each becomes ``{"not_finite": "inf"}``, which any reader understands."""
    if isinstance(data, float) and not math.isfinite(data):
        return {_NOT_FINITE: str(data)}
    if isinstance(data, Mapping):
        return {k: _finite(v) for k, v in data.items()}
    if isinstance(data, list | tuple):
        return [_finite(v) for v in data]
    return data


def _with_infinities(data: Any) -> Any:
    if isinstance(data, Mapping):
        if set(data) == {_NOT_FINITE}:
            return float(data[_NOT_FINITE])
        return {k: _with_infinities(v) for k, v in data.items()}
    if isinstance(data, list):
        return [_with_infinities(v) for v in data]
    return data
