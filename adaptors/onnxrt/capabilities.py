"""The capability table of a model: what the version offers, narrowed by the model and by what was probed here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

import onnxruntime as ort

from autoq.adaptors.capability_file import Costs, Support, read_support
from autoq.adaptors.onnxrt.fusion import FusedOp, Fusion, passes_through
from autoq.core.capability import Capability, CapabilityTable, Op
from autoq.core.errors import ModelError
from autoq.core.precision import FP32, Mode, OpPrecision


@cache
def support(version: str = ort.__version__) -> Support:
    """What capability.yaml says of a version of ONNX Runtime.

    Raises:
        ModelError: The version is older than all of its ranges.
    """
    return read_support(Path(__file__).with_name("capability.yaml"), "onnxruntime", version)


def capability_table(
    fusion: Fusion, modes: Iterable[Mode], probed: Costs, notes: Sequence[str] = (), known: Support | None = None
) -> CapabilityTable:
    """The table of one model.

    Args:
        fusion: Its quantizable ops.
        modes: What the format can hold.
        probed: What was measured on this machine; empty when nothing was.
        notes: Of the model, for the error when no op is left.
        known: What the runtime offers; ONNX Runtime's by default.

    Raises:
        ModelError: No op can be quantized; says why.
    """
    offered, known = frozenset(modes), known or support()
    inside = _inside(fusion, known)
    rows = [_row(op, known, offered, op.id in inside, probed) for op in fusion.ops if op.label in known.ops]
    if not any(len(row.precisions) > 1 for row in rows):
        raise ModelError("this model has no op that can be quantized", hint=_why_none(fusion, known, rows, notes))
    ids = {row.op.id for row in rows}
    edges = tuple(e for e in fusion.edges if e[0] in ids and e[1] in ids)
    return CapabilityTable(tuple(rows), edges)


def _row(op: FusedOp, known: Support, modes: frozenset[Mode], inside: bool, probed: Costs) -> Capability:
    entry = known.ops[op.label]
    precisions: list[OpPrecision] = []
    costs: list[float | None] = []
    note = "" if inside else "all its operands are float: int8 would only add conversions"
    for cell in entry.cells if inside else ():
        key = (op.label, cell.precision.label)
        if cell.precision.mode not in modes:
            continue
        if key in probed and probed[key] is None:
            note = f"{cell.precision.mode} does not run quantized on this machine"
            continue
        precisions.append(cell.precision)
        costs.append(probed.get(key, cell.cost))
    measured = any((op.label, p.label) in probed for p in precisions)
    origin = "probed on this machine" if measured else f"capability.yaml, {known.package} {known.versions}"
    if not precisions and not note:
        note = f"{op.type} has no {' or '.join(sorted(modes))} form"
    return Capability(Op(op.id, op.type), (*precisions, FP32), None, origin, (*costs, 1.0), note)


def _inside(fusion: Fusion, known: Support) -> frozenset[str]:
    """Ops that do the quantized work themselves, or read what such an op leaves quantized."""
    graph, stored, found = fusion.graph, set[str](), set[str]()
    for index, node in enumerate(graph.nodes):
        op = fusion.by_anchor.get(index)
        if op is not None:
            entry = known.ops.get(op.label)
            if entry is not None and (not entry.inside or stored.intersection(op.operands)):
                found.add(op.id)
                if entry.keeps:
                    stored.add(op.output)
        elif index not in fusion.owner and node.input and node.input[0] in stored and passes_through(graph, index):
            stored.update(node.output)
    return frozenset(found)


def _why_none(fusion: Fusion, known: Support, rows: Sequence[Capability], notes: Sequence[str]) -> str:
    if rows:
        reasons = dict.fromkeys(f"{row.op.type}: {row.note}" for row in rows if row.note)
        return "; ".join([*list(reasons)[:4], *notes])
    types = dict.fromkeys(node.op_type for node in fusion.graph.nodes)
    shown = ", ".join(list(types)[:8])
    quantizable = ", ".join(known.ops)
    return "; ".join([f"it has {shown}; float32 ops of these types can be: {quantizable}", *notes])
