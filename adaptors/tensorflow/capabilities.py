"""The capability table of a model: what the version offers, narrowed by the model and by what works on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from autoq.adaptors.capability_file import Costs, Support, read_support
from autoq.adaptors.tensorflow import verify
from autoq.adaptors.tensorflow.forms import (
    AVERAGE_POOL,
    CONV,
    DEPTHWISE,
    MAX_POOL,
    Form,
    convolution_forms,
    pool_forms,
    product_forms,
)
from autoq.adaptors.tensorflow.fusion import FusedOp, Fusion
from autoq.adaptors.tensorflow.limits import is_dilated, why_not
from autoq.adaptors.tensorflow.model import TensorFlowModel
from autoq.adaptors.tensorflow.moves import moved
from autoq.adaptors.tensorflow.recipes import BF16, has_bf16
from autoq.adaptors.tensorflow.runtime import tf
from autoq.core.capability import Capability, CapabilityTable, Op
from autoq.core.errors import ModelError
from autoq.core.precision import FP32, OpPrecision

_CONVOLUTIONS = {"Conv2D": CONV, "DepthwiseConv2dNative": DEPTHWISE}
_POOLS = {"MaxPool": MAX_POOL, "AvgPool": AVERAGE_POOL}


@cache
def support(version: str = tf.__version__) -> Support:
    """What capability.yaml says of a version of TensorFlow.

    Raises:
        ModelError: The version is older than all of its ranges.
    """
    return read_support(Path(__file__).with_name("capability.yaml"), "tensorflow", version)


def capability_table(
    model: TensorFlowModel, probed: Costs, refused: Mapping[Form, str] | None = None
) -> CapabilityTable:
    """The table of one model.

    Args:
        model: The model.
        probed: What was measured on this machine; empty when nothing was.
        refused: Kernel forms that do not work, and why; found out on this machine when not given.

    Raises:
        ModelError: No op can be quantized; says why.
    """
    fusion, known = model.fusion, support()
    broken = verify.refused() if refused is None else refused
    reasons = {op.id: _why_not(fusion, op, broken) for op in fusion.ops}
    inside = _inside(fusion, known, reasons)
    rows: list[Capability] = []
    for op in fusion.ops:
        note = reasons[op.id]
        if not note and op.id not in inside:
            note = "what it reads is float: int8 would only add conversions"
        rows.append(_row(op, known, note, probed))
    if not any(len(row.precisions) > 1 for row in rows):
        raise ModelError("this model has no op that can be quantized", hint=_why_none(model, rows))
    edges = tuple(e for e in fusion.edges if e[0] in fusion.by_id and e[1] in fusion.by_id)
    return CapabilityTable(tuple(rows), edges, float_recipes=((BF16,),) if has_bf16() else ())


def forms_of(fusion: Fusion, op: FusedOp) -> tuple[Form, ...]:
    """Every kernel form that some plan writes an op in."""
    if op.type in _POOLS:
        return pool_forms(_POOLS[op.type])
    if op.type == "Mean":
        return convolution_forms(DEPTHWISE, relu=False, summed=False, dilated=False)
    if op.type == "MatMul":
        return product_forms(op.activation)
    dilated = is_dilated(fusion.graph.by_name[op.id])
    summed = op.summand is not None
    return convolution_forms(_CONVOLUTIONS[op.type], relu=bool(op.activation), summed=summed, dilated=dilated)


def _why_not(fusion: Fusion, op: FusedOp, refused: Mapping[Form, str]) -> str:
    reason = why_not(fusion.graph, op)
    if reason:
        return reason
    broken = next((form for form in forms_of(fusion, op) if form in refused), None)
    return f"the 8-bit kernel '{broken.label}' does not work on this machine: {refused[broken]}" if broken else ""


def _row(op: FusedOp, known: Support, note: str, probed: Costs) -> Capability:
    precisions: list[OpPrecision] = []
    costs: list[float | None] = []
    for cell in known.ops[op.type].cells if not note else ():
        key = (op.type, cell.precision.label)
        if key in probed and probed[key] is None:
            note = f"{cell.precision.mode} does not run quantized on this machine"
            continue
        precisions.append(cell.precision)
        costs.append(probed.get(key, cell.cost))
    measured = any((op.type, p.label) in probed for p in precisions)
    origin = "probed on this machine" if measured else f"capability.yaml, {known.package} {known.versions}"
    if precisions and op.summand is not None and not note:
        note = "its 8-bit kernel does the residual sum behind it, too"
    return Capability(Op(op.id, op.type), (*precisions, FP32), None, origin, (*costs, 1.0), note)


def _inside(fusion: Fusion, known: Support, reasons: Mapping[str, str]) -> frozenset[str]:
    """Ops that do the quantized work themselves, or read what such an op leaves quantized."""
    graph, stored, found = fusion.graph, set[str](), set[str]()
    for node in graph.nodes:
        op = fusion.owner.get(node.name)
        if op is None:
            if stored.intersection(moved(graph, node)):
                stored.add(f"{node.name}:0")
        elif node.name == op.last and not reasons[op.id]:
            entry = known.ops[op.type]
            if not entry.inside or stored.intersection(op.operands):
                found.add(op.id)
                if entry.keeps:
                    stored.add(op.output)
    return frozenset(found)


def _why_none(model: TensorFlowModel, rows: list[Capability]) -> str:
    if rows:
        reasons = dict.fromkeys(f"{row.op.type}: {row.note}" for row in rows if row.note)
        return "; ".join([*list(reasons)[:4], *model.notes])
    types = dict.fromkeys(node.op for node in model.graph.nodes if node.op not in ("Const", "Identity", "Placeholder"))
    shown = ", ".join(list(types)[:8]) or "nothing"
    quantizable = ", ".join(name for name, entry in support().ops.items() if entry.cells)
    return "; ".join([f"it has {shown}; float32 ops of these types can be: {quantizable}", *model.notes])
