"""What a runner is asked to do, and what it answers. Plain data, so that it can cross a process boundary."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from autoq.core.batch import TensorSpec
from autoq.core.capability import CapabilityTable
from autoq.core.deployment_task import (
    DEPLOYMENT_ANSWERS,
    DEPLOYMENT_TASKS,
    DeploymentAnswer,
    DeploymentTask,
    deployment_answer_from_json,
    deployment_answer_to_json,
    deployment_task_from_json,
    deployment_task_to_json,
)
from autoq.core.inquiry import Need
from autoq.core.plan import LatencyEffort, Plan
from autoq.core.records import Records
from autoq.core.stopping import StoppingRule, records_from_json, records_to_json
from autoq.core.trial import Failure, FailureKind, Latency


class Split(StrEnum):
    """Which evaluation samples: those the search sees, or those kept for the verdict."""

    TUNE = "tune"
    HELD_OUT = "held_out"


@dataclass(frozen=True, slots=True)
class MetricInfo:
    """A metric as the runner made it from the job."""

    name: str
    higher_is_better: bool
    is_mean: bool


@dataclass(frozen=True)
class Description:
    """What a runner found when it opened a job.

    Attributes:
        table: The capability table.
        fingerprint: Content address of the model.
        evidence: Content address of everything a score depends on besides the plan: model, calibration data,
            evaluation data, metrics, adaptor and framework versions. Equal evidence, reusable scores.
        inputs: What the model takes.
        outputs: What the model gives.
        size_bytes: Bytes of the fp32 model.
        metrics: One per metric of the job, in its order.
        samples: Samples per split; 1 for a black-box evaluation function.
        batch_size: Samples per latency run.
        environment: Versions, processor, threads: what the report prints.
        notes: What the reader of the report should know, e.g. ops that could not be offered.
        shuffled: Whether the tune split comes in random order, so that its first samples stand for all.
    """

    table: CapabilityTable
    fingerprint: str
    evidence: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    size_bytes: int
    metrics: tuple[MetricInfo, ...]
    samples: Mapping[Split, int]
    batch_size: int
    environment: Mapping[str, str]
    notes: tuple[str, ...] = ()
    shuffled: bool = False


@dataclass(frozen=True, slots=True)
class Calibrate:
    """Collect statistics, or read them from the cache."""


@dataclass(frozen=True, slots=True)
class Evaluate:
    """Build a plan, score samples ``start`` to ``stop`` of a split, and measure its latency.

    What is compiled for deployment is scored uncompiled, as a faithful reference, unless `deployed` asks for what is
    deployed. Latency is always that of the deployed form.

    Attributes:
        plan: What to build.
        split: Which samples.
        start: First sample.
        stop: Sample to stop before.
        latency: How carefully latency is measured.
        deployed: Score the deployed form.
        rule: Stop earlier when this decides the trial; None to score all.
        spare_broken: Leave the latency of a plan out that the rule decides to break the promise.
    """

    plan: Plan
    split: Split
    start: int
    stop: int
    latency: LatencyEffort = LatencyEffort.NONE
    deployed: bool = False
    rule: StoppingRule | None = None
    spare_broken: bool = False


@dataclass(frozen=True, slots=True)
class Measure:
    """Latency of several plans, interleaved with fp32 and with each other; in full, until their order is clear."""

    plans: tuple[Plan, ...]
    effort: LatencyEffort


@dataclass(frozen=True, slots=True)
class MeasureMemory:
    """Peak memory of inference in a process of its own."""

    plan: Plan


@dataclass(frozen=True, slots=True)
class Profile:
    """Seconds per op of a plan, from the runtime's profiler."""

    plan: Plan


@dataclass(frozen=True, slots=True)
class Save:
    """Write a plan's model into an existing, empty folder, and check that it loads with the same outputs."""

    plan: Plan
    folder: str


@dataclass(frozen=True)
class Sense:
    """Measure what quantizing single units does.

    Attributes:
        need: What is measured.
        plan: Precision of each op while it is quantized.
        units: Op ids by unit id, the most interesting unit first: it is the last ones that time may not suffice for.
        samples: Samples at most.
        seconds: Seconds at most.
    """

    need: Need
    plan: Plan
    units: Mapping[str, tuple[str, ...]]
    samples: int
    seconds: float


Task = Calibrate | Evaluate | Measure | MeasureMemory | Profile | Save | Sense | DeploymentTask


@dataclass(frozen=True, slots=True)
class Calibrated:
    """Statistics are ready."""

    seconds: float
    samples: int
    tensors: int
    cached: bool


@dataclass(frozen=True, eq=False)
class Evaluated:
    """Scores of the samples asked for, or of as many as decided the trial.

    `reference` where they are not those of the deployed form; `divergence` as `Trial.divergence`, None where the first
    samples were not among them; `hard` samples of the tune split come first because fp32 is least sure of them, the
    others in random order.
    """

    records: Mapping[str, Records]
    seconds: Mapping[str, float]
    size_bytes: int
    realized: Plan
    latency: Latency | None = None
    reference: bool = False
    divergence: float | None = None
    hard: int = 0


@dataclass(frozen=True, slots=True)
class Measured:
    """One latency per plan, in the order asked for; and pairs of plans, by index, that cannot be told apart."""

    latencies: tuple[Latency, ...]
    ties: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class MemoryMeasured:
    """Peak bytes above the idle process."""

    bytes: int


@dataclass(frozen=True)
class Profiled:
    """Seconds by op id, and seconds outside of ops."""

    seconds: Mapping[str, float]
    overhead: float


@dataclass(frozen=True, slots=True)
class Saved:
    """Files written, relative to the folder."""

    files: tuple[str, ...]
    size_bytes: int


@dataclass(frozen=True)
class Sensed:
    """Values by unit id, and why some or all are missing (empty when none is)."""

    values: Mapping[str, float]
    reason: str


Answer = Calibrated | Evaluated | Measured | MemoryMeasured | Profiled | Saved | Sensed | DeploymentAnswer | Failure


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the running task is."""

    phase: str
    done: int
    total: int | None


@dataclass(frozen=True)
class Outcome:
    """The answer to one task."""

    task_id: int
    answer: Answer = field(repr=False)


_TASKS: Mapping[str, type[Any]] = {
    t.__name__: t for t in (Calibrate, Evaluate, Measure, MeasureMemory, Profile, Save, Sense)
}


def task_to_json(task: Task) -> dict[str, Any]:
    """Plain data; the inverse of `task_from_json`."""
    data: dict[str, Any] = {"type": type(task).__name__}
    match task:
        case Evaluate():
            data |= {
                "plan": task.plan.to_json(),
                "split": str(task.split),
                "start": task.start,
                "stop": task.stop,
                "latency": str(task.latency),
                "deployed": task.deployed,
                "rule": task.rule.to_json() if task.rule is not None else None,
                "spare_broken": task.spare_broken,
            }
        case Measure():
            data |= {"plans": [p.to_json() for p in task.plans], "effort": str(task.effort)}
        case MeasureMemory() | Profile():
            data |= {"plan": task.plan.to_json()}
        case Save():
            data |= {"plan": task.plan.to_json(), "folder": task.folder}
        case Sense():
            data |= {
                "need": str(task.need),
                "plan": task.plan.to_json(),
                "units": {unit: list(ops) for unit, ops in task.units.items()},
                "samples": task.samples,
                "seconds": task.seconds,
            }
        case Calibrate():
            pass
        case _:
            data |= deployment_task_to_json(task)
    return data


def task_from_json(data: dict[str, Any]) -> Task:
    """Rebuild from `task_to_json`."""
    values = {k: v for k, v in data.items() if k != "type"}
    if data["type"] in DEPLOYMENT_TASKS:
        return deployment_task_from_json(data["type"], values)
    if "plan" in values:
        values["plan"] = Plan.from_json(values["plan"])
    if "plans" in values:
        values["plans"] = tuple(Plan.from_json(p) for p in values["plans"])
    if "need" in values:
        values["need"] = Need(values["need"])
        values["units"] = {unit: tuple(ops) for unit, ops in values["units"].items()}
    if values.get("rule") is not None:
        values["rule"] = StoppingRule.from_json(values["rule"])
    if "split" in values:
        values["split"] = Split(values["split"])
    for key in ("latency", "effort"):
        if key in values:
            values[key] = LatencyEffort(values[key])
    task: Task = _TASKS[data["type"]](**values)
    return task


def answer_to_json(answer: Answer) -> dict[str, Any]:
    """Plain data; the inverse of `answer_from_json`."""
    data: dict[str, Any] = {"type": type(answer).__name__}
    match answer:
        case Evaluated():
            data |= {
                "records": records_to_json(answer.records),
                "seconds": dict(answer.seconds),
                "size_bytes": answer.size_bytes,
                "realized": answer.realized.to_json(),
                "latency": answer.latency.to_json() if answer.latency else None,
                "reference": answer.reference,
                "divergence": answer.divergence,
                "hard": answer.hard,
            }
        case Measured():
            data["latencies"] = [latency.to_json() for latency in answer.latencies]
            data["ties"] = [list(tie) for tie in answer.ties]
        case Failure():
            data |= {"kind": str(answer.kind), "message": answer.message}
        case Sensed():
            data |= {"values": dict(answer.values), "reason": answer.reason}
        case Profiled():
            data |= {"seconds": dict(answer.seconds), "overhead": answer.overhead}
        case Calibrated() | MemoryMeasured() | Saved():
            data |= asdict(answer)
        case _:
            data |= deployment_answer_to_json(answer)
    return data


def answer_from_json(data: dict[str, Any]) -> Answer:
    """Rebuild from `answer_to_json`."""
    values = {k: v for k, v in data.items() if k != "type"}
    match data["type"]:
        case "Evaluated":
            latency = values["latency"]
            return Evaluated(
                records_from_json(values["records"]),
                values["seconds"],
                values["size_bytes"],
                Plan.from_json(values["realized"]),
                Latency.from_json(latency) if latency else None,
                values["reference"],
                values["divergence"],
                values["hard"],
            )
        case "Measured":
            latencies = tuple(Latency.from_json(d) for d in values["latencies"])
            return Measured(latencies, tuple((first, second) for first, second in values["ties"]))
        case "Failure":
            return Failure(FailureKind(values["kind"]), values["message"])
        case "Profiled":
            return Profiled(values["seconds"], values["overhead"])
        case "Sensed":
            return Sensed(values["values"], values["reason"])
        case "Saved":
            return Saved(tuple(values["files"]), values["size_bytes"])
        case "MemoryMeasured":
            return MemoryMeasured(values["bytes"])
        case kind if kind in DEPLOYMENT_ANSWERS:
            return deployment_answer_from_json(kind, values)
        case _:
            return Calibrated(**values)


def description_to_json(description: Description) -> dict[str, Any]:
    """Plain data; the inverse of `description_from_json`."""
    return {
        "table": description.table.to_json(),
        "fingerprint": description.fingerprint,
        "evidence": description.evidence,
        "inputs": [asdict(s) for s in description.inputs],
        "outputs": [asdict(s) for s in description.outputs],
        "size_bytes": description.size_bytes,
        "metrics": [asdict(m) for m in description.metrics],
        "samples": {str(k): v for k, v in description.samples.items()},
        "batch_size": description.batch_size,
        "environment": dict(description.environment),
        "notes": list(description.notes),
        "shuffled": description.shuffled,
    }


def description_from_json(data: dict[str, Any]) -> Description:
    """Rebuild from `description_to_json`."""

    def specs(rows: list[dict[str, Any]]) -> tuple[TensorSpec, ...]:
        return tuple(TensorSpec(r["name"], r["dtype"], None if r["shape"] is None else tuple(r["shape"])) for r in rows)

    return Description(
        CapabilityTable.from_json(data["table"]),
        data["fingerprint"],
        data["evidence"],
        specs(data["inputs"]),
        specs(data["outputs"]),
        data["size_bytes"],
        tuple(MetricInfo(**m) for m in data["metrics"]),
        {Split(k): v for k, v in data["samples"].items()},
        data["batch_size"],
        data["environment"],
        tuple(data["notes"]),
        data["shuffled"],
    )
