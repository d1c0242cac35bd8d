"""The capability table of a model: the quantizer's policy, narrowed by the model and by what was probed here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from autoq.adaptors.tensorflow_lite.graph import Graph
from autoq.adaptors.tensorflow_lite.model import LiteModel
from autoq.adaptors.tensorflow_lite.ops import WORKS, LiteOp, edges
from autoq.adaptors.tensorflow_lite.support import Support, kernel, support
from autoq.core.capability import Capability, CapabilityTable, Op
from autoq.core.errors import ModelError
from autoq.core.precision import FP32, DType, Granularity, OpPrecision

SLOW = 4.0
"""Latency relative to float32 from which an op without a weight is left in float: conversions around it cost less."""

Costs = Mapping[tuple[str, str], float | None]
"""Latency relative to float32 by operator and kernel; None for a cell that does not run quantized."""


def capability_table(model: LiteModel, probed: Costs) -> CapabilityTable:
    """The table of one model.

    Args:
        model: The model.
        probed: What was measured on this machine; empty when nothing was.

    Raises:
        ModelError: No op can be quantized.
    """
    known = support()
    rows = [_row(op, model.graph, known, probed) for op in model.ops if op.type in known.ops]
    if not any(len(row.precisions) > 1 for row in rows):
        raise ModelError("this model has no op that can be quantized", hint=_why_none(model.graph, rows))
    ids = {row.op.id for row in rows}
    joined = tuple(e for e in edges(model.graph, model.ops) if e[0] in ids and e[1] in ids)
    return CapabilityTable(tuple(rows), joined)


def offered(op: LiteOp, graph: Graph, known: Support) -> tuple[OpPrecision, ...]:
    """What the policy has for an op, best first, without float32."""
    entry = known.ops[op.type]
    every = entry.precisions if op.weight is not None else entry.inner
    return tuple(precision for precision in every if _fits(op, graph, precision))


def _row(op: LiteOp, graph: Graph, known: Support, probed: Costs) -> Capability:
    kept: list[OpPrecision] = []
    costs: list[float | None] = []
    measured = False
    note = ""
    for precision in offered(op, graph, known):
        key = (op.type, kernel(precision))
        if key in probed and probed[key] is None:
            continue
        cost = probed[key] if key in probed else known.costs.get(key)
        if op.weight is None and cost is not None and cost >= SLOW and (note or _is_8bit(precision)):
            # 16 bits are never fast; they stay where 8 bits do, so that a region in 16 bits is not torn apart.
            note = note or f"8 bits take {cost:.0f} times as long as float32 here"
            continue
        measured |= key in probed
        kept.append(precision)
        costs.append(cost)
    origin = "probed on this machine" if measured else f"ai-edge-quantizer {known.version}"
    return Capability(Op(op.id, op.type), (*kept, FP32), None, origin, (*costs, 1.0), note)


def _is_8bit(precision: OpPrecision) -> bool:
    return precision.activation is not None and precision.activation.dtype is DType.INT8


def _fits(op: LiteOp, graph: Graph, precision: OpPrecision) -> bool:
    """Whether the weight has the shape a precision asks for."""
    if op.weight is None or precision.weight is None:
        return True
    shape: Sequence[int | None] = graph.tensors[op.weight].shape
    if precision.weight.granularity is Granularity.PER_GROUP:
        return bool(shape) and (shape[-1] or 0) % (precision.weight.group_size or 1) == 0
    # Two 4-bit weights share a byte.
    return precision.weight.dtype is not DType.INT4 or (shape[-1] or 0) % 2 == 0


def _why_none(graph: Graph, rows: Sequence[Capability]) -> str:
    if rows:
        return "; ".join(dict.fromkeys(f"{row.op.type}: {row.note}" for row in rows))
    types = ", ".join(list(dict.fromkeys(node.type for node in graph.nodes))[:8]) or "no ops"
    return f"it has {types}; float32 ops with constant weights of these types can be: {', '.join(sorted(WORKS))}"
