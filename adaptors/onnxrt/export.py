"""Plans of ONNX models as files that every runtime reads: QDQ form, operators of the ONNX standard only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import onnx
from onnx import ModelProto

from autoq.adaptors.onnxrt import tensorrt_rules
from autoq.adaptors.onnxrt.build import Format, build
from autoq.adaptors.onnxrt.deployed import run_tensors
from autoq.adaptors.onnxrt.model import OnnxModel
from autoq.adaptors.onnxrt.qdq import QdqGraph
from autoq.core.adaptor import RunOptions
from autoq.core.batch import Array, Inputs
from autoq.core.deployment import ExportedModel, ExportedOp, ExportSettings
from autoq.core.errors import AutoqError, TrialError
from autoq.core.plan import Plan
from autoq.core.precision import Mode
from autoq.core.statistics import Calibration

DYNAMIC_NOTE = "dynamic ops are exported in float: their 8-bit operators are not part of what every runtime reads"


def export_onnx(
    model: OnnxModel, plan: Plan, calibration: Calibration | None, file: Path, settings: ExportSettings
) -> ExportedModel:
    """Write a plan's model, self-contained unless it is larger than one file may be.

    Raises:
        TrialError: The plan has no such form.
    """
    static = Plan({op: p for op, p in plan.precisions.items() if p.mode is Mode.STATIC})
    notes = () if len(static) == len(plan) else (DYNAMIC_NOTE,)
    try:
        proto = build(model, static, calibration, Format.PORTABLE)
    except TrialError:
        raise
    except AutoqError as error:
        raise TrialError(error.message, where=error.where, hint=error.hint) from error
    proto = _standard(proto)
    write(proto, file, model.folder)
    return exported_model(model, proto, frozenset(static), file, settings, notes)


def exported_model(
    model: OnnxModel,
    proto: ModelProto,
    static: frozenset[str],
    file: Path,
    settings: ExportSettings,
    notes: tuple[str, ...],
) -> ExportedModel:
    """What is known of a written file.

    Args:
        model: The fp32 model.
        proto: What was written.
        static: Ids of the ops that were to be quantized.
        file: Where it lies.
        settings: How it was exported.
        notes: What the file does not carry over.
    """
    graph = QdqGraph(proto)
    by_name = {node.name: node for node in graph.nodes}
    ops = []
    for op in model.fusion.ops:
        name = model.fusion.graph.nodes[op.anchor].name
        node = by_name.get(op.id if op.id in static else name) or by_name.get(name)
        if node is not None:
            quantized = op.id in static and graph.is_quantized(node)
            ops.append(ExportedOp(op.id, node.name, graph.result(node), quantized))
    rules, broken = tensorrt_rules.checked(proto) if settings.profile == "tensorrt" else ((), ())
    return ExportedModel(file, tuple(ops), notes, rules, broken)


def exported_tensors(exported: ExportedModel, tensors: Sequence[str], inputs: Inputs) -> Mapping[str, Array]:
    """What the tensors of a file hold when each node is computed for itself, in float.

    Raises:
        TrialError: It cannot be run.
    """
    return run_tensors(exported.file, tensors, inputs, RunOptions(1), optimize=False)


def write(proto: ModelProto, file: Path, folder: Path | None = None) -> None:
    """Write a model as one file, or with its weights beside it where it would be too large.

    Args:
        proto: The model.
        file: Where.
        folder: Where weights lie that are not in `proto` itself.
    """
    if folder is not None:
        onnx.load_external_data_for_model(proto, str(folder))
    if proto.ByteSize() < onnx.checker.MAXIMUM_PROTOBUF:
        file.write_bytes(proto.SerializeToString())
        return
    onnx.save_model(proto, str(file), save_as_external_data=True, location=f"{file.stem}.data")


def _standard(proto: ModelProto) -> ModelProto:
    used = {node.domain or "" for node in proto.graph.node}
    kept = [o for o in proto.opset_import if (o.domain or "") in used | {""}]
    del proto.opset_import[:]
    proto.opset_import.extend(kept)
    return proto
