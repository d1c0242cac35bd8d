"""Plans of TensorFlow models as ``.tflite`` files: the float model converted, and quantized as the plan says."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from autoq.adaptors.tensorflow.graph import node_name
from autoq.adaptors.tensorflow.model import TensorFlowModel
from autoq.adaptors.tensorflow.moves import DIRECT, VIEWED
from autoq.adaptors.tensorflow_lite.build import build
from autoq.adaptors.tensorflow_lite.calibrator import collect
from autoq.adaptors.tensorflow_lite.convert import convert_frozen
from autoq.adaptors.tensorflow_lite.model import LiteModel
from autoq.adaptors.tensorflow_lite.ops import LiteOp, source
from autoq.adaptors.tensorflow_lite.ranges import observable
from autoq.adaptors.tensorflow_lite.reading import load
from autoq.adaptors.tensorflow_lite.realized import realized_plan
from autoq.adaptors.tensorflow_lite.support import support
from autoq.core.adaptor import ModelSource
from autoq.core.batch import Batch
from autoq.core.deployment import ExportedModel, ExportedOp
from autoq.core.errors import AutoqError, TrialError
from autoq.core.plan import Plan
from autoq.core.precision import DType, Mode, OpPrecision, Scheme, TensorQuant
from autoq.core.statistics import Calibration, Needs

_NAMED = 3
"""Ops that a note names."""


@dataclass(frozen=True)
class Carried:
    """A plan in LiteRT's terms.

    Attributes:
        plan: Precision by op of the converted model.
        ops: Ops of the converted model by op of the TensorFlow model, in execution order.
        lost: Quantized ops of the TensorFlow model that have no counterpart, or one that LiteRT does not quantize.
    """

    plan: Plan
    ops: Mapping[str, tuple[LiteOp, ...]]
    lost: tuple[str, ...]


def export_tflite(
    model: TensorFlowModel, plan: Plan, batches: Callable[[], Iterable[Batch]], file: Path
) -> ExportedModel:
    """Convert a model, quantize it as a plan says, and write it.

    Ranges come from the statistics of the converted float model on the calibration samples, by the plan's observers:
    it has tensors that the TensorFlow graph does not have, e.g. between a convolution and the sum behind it.

    Raises:
        TrialError: The model cannot be converted, or the plan has no such form.
    """
    try:
        lite = _converted(model)
        found = carry(model, lite, plan)
        calibration = _statistics(lite, found.plan, batches)
        content = build(lite, found.plan, calibration)
    except TrialError:
        raise
    except AutoqError as error:
        raise TrialError(error.message, where=error.where, hint=error.hint) from error
    file.write_bytes(content)
    quantized = realized_plan(lite, found.plan, content) if found.plan else Plan()
    notes = tuple(_notes(found, plan, quantized))
    return ExportedModel(file, tuple(_exported(found, quantized)), notes, own_grids=True)


def carry(model: TensorFlowModel, lite: LiteModel, plan: Plan) -> Carried:
    """Find the ops of a plan in the converted model, by the nodes whose names its tensors bear.

    The converter calls a tensor after the node that made it, or after all nodes it fused, the last first, with a number
    behind the name where a constant has it already. A fused op
    of the TensorFlow graph may be several ops there, e.g. a convolution and the residual sum it ends in. Nodes that
    only move 8-bit values in the TensorFlow graph follow what they read.
    """
    graph, fusion = model.graph, model.fusion
    outputs = {s.name: _maker(model, t) for s, t in zip(model.outputs, model.frozen.output_tensors, strict=True)}
    found: dict[str, list[LiteOp]] = {}
    static: dict[int, OpPrecision] = {}
    for op in lite.ops:
        names = [outputs.get(op.id, op.id), *(_original(model, part) for part in op.id.split(";"))]
        owner = next((fusion.owner[name] for name in names if name in fusion.owner), None)
        if owner is not None:
            found.setdefault(owner.id, []).append(op)
            precision = _translated(op, plan[owner.id])
        else:
            node = next((graph.by_name[name] for name in names if name in graph.by_name), None)
            moves = node is not None and node.op in DIRECT | VIEWED
            precision = _followed(lite, op, static) if moves else None
        if precision is not None:
            static[op.node] = precision
    by_id = {op.id: static[op.node] for op in lite.ops if op.node in static}
    lost = [op for op in plan if not any(o.id in by_id for o in found.get(op, ()))]
    return Carried(Plan(by_id), {op: tuple(ops) for op, ops in found.items()}, tuple(lost))


def _original(model: TensorFlowModel, name: str) -> str:
    """The node that a tensor is called after: its name, less what the converter put behind to make it unique."""
    known = model.graph.by_name
    cut = name
    while cut not in known and cut[-1:].isdigit():
        cut = cut[:-1]
    return cut if cut in known else name


def _converted(model: TensorFlowModel) -> LiteModel:
    """The converted float model; made once."""
    if "litert" not in model.memo:
        model.memo["litert"] = load(ModelSource(convert_frozen(model.frozen)))
    found: LiteModel = model.memo["litert"]
    return found


def _statistics(lite: LiteModel, plan: Plan, batches: Callable[[], Iterable[Batch]]) -> Calibration | None:
    """Statistics of all tensors that a plan's static ops touch; None where it has none."""
    if not plan:
        return None
    tensors = observable(lite, {op: lite.ops_by_id[op] for op in plan})
    key = ("calibration", tensors)
    if key not in lite.memo:
        lite.memo[key] = collect(lite, batches(), Needs(tensors))
    found: Calibration = lite.memo[key]
    return found


def _maker(model: TensorFlowModel, tensor: str) -> str:
    """Name of the node that computes a tensor, seen through those that only rename it."""
    node = model.graph.producer(tensor)
    while node.op == "Identity":
        node = model.graph.producer(node.input[0])
    return node_name(node.name)


def _translated(op: LiteOp, precision: OpPrecision) -> OpPrecision | None:
    """A precision of the TensorFlow graph in LiteRT; None where the op stays float there."""
    if precision.mode is not Mode.STATIC or precision.activation is None or not _has_static(op):
        return None
    weight = None
    if op.weight is not None and precision.weight is not None:
        weight = TensorQuant(DType.INT8, Scheme.SYM, precision.weight.granularity)
    activation = TensorQuant(DType.INT8, Scheme.ASYM, observer=precision.activation.observer)
    return OpPrecision(Mode.STATIC, weight, activation)


def _followed(lite: LiteModel, op: LiteOp, static: Mapping[int, OpPrecision]) -> OpPrecision | None:
    """What an op without arithmetic takes over from those it reads; None where one of them is float."""
    makers = [source(lite.graph, tensor) for tensor in op.activations]
    found = [static.get(maker.index) if maker is not None else None for maker in makers]
    if op.weight is not None or not _has_static(op) or not found or found[0] is None or None in found:
        return None
    return OpPrecision(Mode.STATIC, None, found[0].activation)


def _has_static(op: LiteOp) -> bool:
    offered = support().ops.get(op.type)
    known = () if offered is None else offered.precisions if op.weight is not None else offered.inner
    return any(p.mode is Mode.STATIC and p.activation is not None and p.activation.dtype is DType.INT8 for p in known)


def _exported(found: Carried, quantized: Plan) -> Iterable[ExportedOp]:
    for op, parts in found.ops.items():
        # The node that does the work stands for the op, and the last one makes its result.
        anchor = next((part for part in parts if part.weight is not None), parts[0])
        runs = all(part.id in quantized for part in parts if part.id in found.plan) and anchor.id in quantized
        yield ExportedOp(op, anchor.id, parts[-1].id, runs)


def _notes(found: Carried, plan: Plan, quantized: Plan) -> Iterable[str]:
    if found.lost:
        yield f"{_counted(found.lost, plan)} stay float in LiteRT: the converter left no op of their own there"
    stayed = [op for op in found.plan if op not in quantized]
    if stayed:
        yield f"{_counted(stayed, found.plan)} stay float in LiteRT, between conversions"


def _counted(ops: Iterable[str], of: Iterable[str]) -> str:
    listed, total = list(ops), len(list(of))
    names = ", ".join(listed[:_NAMED]) + (", …" if len(listed) > _NAMED else "")
    return f"{len(listed)} of {total} quantized ops ({names})"
