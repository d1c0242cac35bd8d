"""What the deployment gate asks of a runner. Plain data, like every task."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from autoq.core.deployed import OpAgreement
from autoq.core.deployment import ExportedModel, ExportSettings
from autoq.core.file_format import FileFormat
from autoq.core.number import to_plain
from autoq.core.plan import Plan
from autoq.core.records import Records
from autoq.core.trial import Latency


@dataclass(frozen=True, slots=True)
class Export:
    """Write a plan as a file of the settings' format."""

    plan: Plan
    file: str
    settings: ExportSettings


@dataclass(frozen=True, slots=True)
class ScoreDeployed:
    """Score all samples of a split with an exported file in a runtime."""

    runtime: str
    exported: ExportedModel
    split: str
    samples: int


@dataclass(frozen=True, slots=True)
class MeasureDeployed:
    """Latency of an exported file against the exported fp32 file, interleaved in one runtime."""

    runtime: str
    file: str
    float_file: str


@dataclass(frozen=True, slots=True)
class CompareDeployed:
    """Compare what a runtime computes with what the framework does: outputs, and op by op when asked."""

    runtime: str
    plan: Plan
    exported: ExportedModel
    by_op: bool


DeploymentTask = Export | ScoreDeployed | MeasureDeployed | CompareDeployed


@dataclass(frozen=True)
class Exported:
    """The file is written."""

    model: ExportedModel
    size_bytes: int


@dataclass(frozen=True, eq=False)
class DeployedScored:
    """Scores of an exported file, and what runs in 8 bits.

    Attributes:
        records: Per-sample records by metric.
        int8: Ids of the quantized ops that run in 8 bits.
        version: Of the runtime.
        notes: What the reader should know.
    """

    records: Mapping[str, Records]
    int8: tuple[str, ...]
    version: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DeployedMeasured:
    """Latency of the file; its ratio is relative to fp32 in the same runtime."""

    latency: Latency


@dataclass(frozen=True)
class DeployedCompared:
    """How well results agree, as signal to difference in dB.

    Attributes:
        sqnr: Runtime against the quantized model, worst output.
        noise: Quantized model against fp32, worst output.
        kernels: Quantized model against the arithmetic that was exported, worst output; None unless asked by op.
        ops: Runtime against the exported arithmetic, by op in execution order.
    """

    sqnr: float
    noise: float
    kernels: float | None = None
    ops: tuple[OpAgreement, ...] = ()


DeploymentAnswer = Exported | DeployedScored | DeployedMeasured | DeployedCompared

DEPLOYMENT_TASKS: Mapping[str, type[Any]] = {
    t.__name__: t for t in (Export, ScoreDeployed, MeasureDeployed, CompareDeployed)
}
DEPLOYMENT_ANSWERS = frozenset({"Exported", "DeployedScored", "DeployedMeasured", "DeployedCompared"})


def deployment_task_to_json(task: DeploymentTask) -> dict[str, Any]:
    """Plain data without the type; the inverse of `deployment_task_from_json`."""
    match task:
        case Export():
            wanted = task.settings
            settings = {"opset": wanted.opset, "profile": wanted.profile, "format": str(wanted.format)}
            return {"plan": task.plan.to_json(), "file": task.file, "settings": settings}
        case ScoreDeployed():
            return {
                "runtime": task.runtime,
                "exported": task.exported.to_json(),
                "split": task.split,
                "samples": task.samples,
            }
        case MeasureDeployed():
            return {"runtime": task.runtime, "file": task.file, "float_file": task.float_file}
        case CompareDeployed():
            return {
                "runtime": task.runtime,
                "plan": task.plan.to_json(),
                "exported": task.exported.to_json(),
                "by_op": task.by_op,
            }


def deployment_task_from_json(kind: str, data: Mapping[str, Any]) -> DeploymentTask:
    """Rebuild from `deployment_task_to_json`."""
    values = dict(data)
    if "plan" in values:
        values["plan"] = Plan.from_json(values["plan"])
    if "exported" in values:
        values["exported"] = ExportedModel.from_json(values["exported"])
    if "settings" in values:
        settings = values["settings"]
        values["settings"] = ExportSettings(settings["opset"], settings["profile"], FileFormat(settings["format"]))
    task: DeploymentTask = DEPLOYMENT_TASKS[kind](**values)
    return task


def deployment_answer_to_json(answer: DeploymentAnswer) -> dict[str, Any]:
    """Plain data without the type; the inverse of `deployment_answer_from_json`."""
    match answer:
        case Exported():
            return {"model": answer.model.to_json(), "size_bytes": answer.size_bytes}
        case DeployedScored():
            return {
                "records": {k: base64.b64encode(r.to_bytes()).decode() for k, r in answer.records.items()},
                "int8": list(answer.int8),
                "version": answer.version,
                "notes": list(answer.notes),
            }
        case DeployedMeasured():
            return {"latency": answer.latency.to_json()}
        case DeployedCompared():
            return {
                "sqnr": to_plain(answer.sqnr),
                "noise": to_plain(answer.noise),
                "kernels": None if answer.kernels is None else to_plain(answer.kernels),
                "ops": [o.to_json() for o in answer.ops],
            }


def deployment_answer_from_json(kind: str, data: Mapping[str, Any]) -> DeploymentAnswer:
    """Rebuild from `deployment_answer_to_json`."""
    match kind:
        case "Exported":
            return Exported(ExportedModel.from_json(data["model"]), data["size_bytes"])
        case "DeployedScored":
            records = {k: Records.from_bytes(base64.b64decode(r)) for k, r in data["records"].items()}
            return DeployedScored(records, tuple(data["int8"]), data["version"], tuple(data["notes"]))
        case "DeployedMeasured":
            return DeployedMeasured(Latency.from_json(data["latency"]))
        case _:
            kernels = data["kernels"]
            return DeployedCompared(
                float(data["sqnr"]),
                float(data["noise"]),
                None if kernels is None else float(kernels),
                tuple(OpAgreement.from_json(o) for o in data["ops"]),
            )
