"""What the deployment gate found, as plain data for store and report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from autoq.core.deployment import BrokenRule
from autoq.core.interval import Interval
from autoq.core.number import to_plain
from autoq.core.trial import Latency


class Agreement(StrEnum):
    """What the gate says of one runtime."""

    PASSED = "passed"
    DISAGREES = "disagrees"
    NOT_SCORED = "not_scored"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class DeployedScore:
    """One metric on one split, in three places.

    Attributes:
        metric: Name of the metric.
        split: ``tune`` or ``held_out``.
        fp32: Score of the fp32 model in the framework it was tuned in.
        quantized: Score of the quantized model there.
        deployed: Score of the exported file in the runtime.
        difference: What the runtime loses against the quantized model on the same samples, in the metric's own
            unit, with its interval; positive is worse.
        samples: Samples scored.
    """

    metric: str
    split: str
    fp32: float
    quantized: float
    deployed: float
    difference: Interval
    samples: int

    def within(self, tolerance: float) -> bool:
        """Whether the two agree, better or worse."""
        return abs(self.difference.value) <= tolerance + 1e-12

    def to_json(self) -> dict[str, Any]:
        """Plain data; the inverse of `from_json`."""
        return {
            "metric": self.metric,
            "split": self.split,
            "fp32": to_plain(self.fp32),
            "quantized": to_plain(self.quantized),
            "deployed": to_plain(self.deployed),
            "difference": self.difference.to_json(),
            "samples": self.samples,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> DeployedScore:
        """Rebuild from `to_json`."""
        values = {key: float(data[key]) for key in ("fp32", "quantized", "deployed")}
        return cls(**{**data, **values, "difference": Interval.from_json(data["difference"])})


@dataclass(frozen=True, slots=True)
class OpAgreement:
    """How well a runtime's result of one op agrees with the framework's: signal to difference, in dB."""

    op: str
    sqnr: float

    def to_json(self) -> list[Any]:
        """Plain data; the inverse of `from_json`."""
        return [self.op, to_plain(self.sqnr)]

    @classmethod
    def from_json(cls, data: list[Any]) -> OpAgreement:
        """Rebuild from `to_json`."""
        return cls(data[0], float(data[1]))


@dataclass(frozen=True)
class RuntimeResult:
    """What one runtime made of the exported file.

    Attributes:
        runtime: Its name in the job.
        agreement: The verdict.
        version: Its version; empty when it did not run.
        scores: One per metric and split.
        int8_ops: Quantized ops it executes in 8 bits.
        quantized_ops: Quantized ops of the file.
        latency: Of the file against the fp32 file in the same runtime; information only.
        sqnr: Signal to difference, in dB, of its outputs against the quantized model's.
        noise: The same of the quantized model's outputs against fp32's: what quantization itself changes.
        diverging: The first op whose result differs, where they disagree and one was found.
        ops: Agreement per op in execution order, where they disagree.
        notes: What the reader should know.
        failure: Why there are no scores.
    """

    runtime: str
    agreement: Agreement
    version: str = ""
    scores: tuple[DeployedScore, ...] = ()
    int8_ops: int = 0
    quantized_ops: int = 0
    latency: Latency | None = None
    sqnr: float | None = None
    noise: float | None = None
    diverging: OpAgreement | None = None
    ops: tuple[OpAgreement, ...] = ()
    notes: tuple[str, ...] = ()
    failure: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain data; the inverse of `from_json`."""
        return {
            "runtime": self.runtime,
            "agreement": str(self.agreement),
            "version": self.version,
            "scores": [s.to_json() for s in self.scores],
            "int8_ops": self.int8_ops,
            "quantized_ops": self.quantized_ops,
            "latency": self.latency.to_json() if self.latency is not None else None,
            "sqnr": None if self.sqnr is None else to_plain(self.sqnr),
            "noise": None if self.noise is None else to_plain(self.noise),
            "diverging": self.diverging.to_json() if self.diverging is not None else None,
            "ops": [o.to_json() for o in self.ops],
            "notes": list(self.notes),
            "failure": self.failure,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> RuntimeResult:
        """Rebuild from `to_json`."""
        latency, diverging = data["latency"], data["diverging"]
        return cls(
            data["runtime"],
            Agreement(data["agreement"]),
            data["version"],
            tuple(DeployedScore.from_json(s) for s in data["scores"]),
            data["int8_ops"],
            data["quantized_ops"],
            Latency.from_json(latency) if latency is not None else None,
            None if data["sqnr"] is None else float(data["sqnr"]),
            None if data["noise"] is None else float(data["noise"]),
            OpAgreement.from_json(diverging) if diverging is not None else None,
            tuple(OpAgreement.from_json(o) for o in data["ops"]),
            tuple(data["notes"]),
            data["failure"],
        )


@dataclass(frozen=True)
class Deployment:
    """The gate's answer for one plan.

    Attributes:
        plan_digest: Which plan.
        tolerance: Largest difference between quantized and deployed, in the metric's own unit.
        profile: Name of the profile, or None.
        files: The exported files, one per format, relative to the job's folder; empty when there is none.
        runtimes: One per runtime of the job.
        rules: Names of the profile's rules that were checked on the graph.
        broken: What breaks them.
        notes: What the file does not carry over from the plan.
        failure: Why there is no file.
    """

    plan_digest: str
    tolerance: float
    profile: str | None
    files: tuple[str, ...]
    runtimes: tuple[RuntimeResult, ...]
    rules: tuple[str, ...] = ()
    broken: tuple[BrokenRule, ...] = ()
    notes: tuple[str, ...] = ()
    failure: str = ""

    @property
    def passed(self) -> bool:
        """True when every runtime agrees, and the graph keeps the profile's rules."""
        agreed = all(r.agreement is Agreement.PASSED for r in self.runtimes)
        return not self.failure and agreed and not self.broken

    def to_json(self) -> dict[str, Any]:
        """Plain data; the inverse of `from_json`."""
        return {
            "plan_digest": self.plan_digest,
            "tolerance": self.tolerance,
            "profile": self.profile,
            "files": list(self.files),
            "passed": self.passed,
            "runtimes": [r.to_json() for r in self.runtimes],
            "rules": list(self.rules),
            "broken": [asdict(b) for b in self.broken],
            "notes": list(self.notes),
            "failure": self.failure,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Deployment:
        """Rebuild from `to_json`; reports of version 0.1.0 name one ``file``."""
        return cls(
            data["plan_digest"],
            data["tolerance"],
            data["profile"],
            tuple(data["files"] if "files" in data else [data["file"]] if data["file"] else []),
            tuple(RuntimeResult.from_json(r) for r in data["runtimes"]),
            tuple(data["rules"]),
            tuple(BrokenRule(**b) for b in data["broken"]),
            tuple(data["notes"]),
            data["failure"],
        )
