"""The capability table of a model: what the version offers, narrowed by the graph."""

from __future__ import annotations

from pathlib import Path

from autoq.adaptors.pytorch.checks import require_quantizable
from autoq.adaptors.pytorch.support import OpSupport, Support, support
from autoq.adaptors.pytorch_pt2e.model import Pt2eModel
from autoq.adaptors.pytorch_pt2e.ops import GraphOp, Ops
from autoq.adaptors.pytorch_pt2e.recipes import FLOAT_RECIPES, quantized_recipes
from autoq.core.capability import Capability, CapabilityTable, Op
from autoq.core.precision import FP32

_TABLE = Path(__file__).with_name("capability.yaml")


def capability_table(model: Pt2eModel) -> CapabilityTable:
    """One row per op of the graph; ops that only run in float have their reason as a note.

    Raises:
        ModelError: Nothing can be quantized.
    """
    offered = support(_TABLE)
    inside = _inside(model.ops, offered)
    rows = [_row(op, offered, op.id in inside) for op in model.ops.ops]
    weighted = sum(len(row.precisions) > 1 and not offered.ops[row.op.type].inside for row in rows)
    require_quantizable(weighted, model.torch.module, "pytorch_pt2e")
    return CapabilityTable(tuple(rows), model.ops.edges, quantized_recipes(), FLOAT_RECIPES)


def _row(op: GraphOp, offered: Support, possible: bool) -> Capability:
    found = offered.ops.get(op.type, OpSupport((), note="the compiler has no int8 form of it"))
    note = op.reason or found.note
    if not note and found.inside and not possible:
        note = "some of what it reads is never left in 8 bits"
    precisions = () if note else found.precisions
    origin = f"capability.yaml pytorch_pt2e, torch {offered.versions}"
    return Capability(Op(op.id, op.type), (*precisions, FP32), origin=origin, note=note)


def _inside(ops: Ops, offered: Support) -> frozenset[str]:
    """Ops that can read what others leave in 8 bits."""
    left, found = set[str](), set[str]()
    for op in ops.ops:
        entry = offered.ops.get(op.type)
        if entry is None or op.reason or not entry.precisions:
            continue
        if not entry.inside or all(ops.source(name) in left for name in op.operands):
            found.add(op.id)
            left.add(op.id)
    return frozenset(found)
