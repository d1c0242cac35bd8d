"""The capability table of a model: what the version offers, narrowed by the graph."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from autoq.adaptors.pytorch.checks import require_quantizable
from autoq.adaptors.pytorch.floats import float_recipes
from autoq.adaptors.pytorch.model import TorchModel
from autoq.adaptors.pytorch.support import OpSupport, Support, support
from autoq.adaptors.pytorch_fx.graph import FxGraph, FxOp
from autoq.adaptors.pytorch_fx.kinds import ATTENTION
from autoq.core.capability import Capability, CapabilityTable, Op
from autoq.core.precision import FP32, Mode, Observer

_TABLE = Path(__file__).with_name("capability.yaml")


def capability_table(model: TorchModel, graph: FxGraph) -> CapabilityTable:
    """One row per op of the graph; ops that only run in float have their reason as a note.

    Raises:
        ModelError: Nothing can be quantized.
    """
    offered = support(_TABLE)
    transformer = any(op.type in ATTENTION for op in graph.ops)
    rows = [_row(op, offered, transformer) for op in graph.ops]
    weighted = sum(
        len(row.precisions) > 1 and not offered.ops[row.op.type].inside for row in rows if row.op.type in offered.ops
    )
    require_quantizable(weighted, model.module, "pytorch_fx")
    return CapabilityTable(tuple(rows), graph.edges, float_recipes=float_recipes(model))


def _row(op: FxOp, offered: Support, transformer: bool) -> Capability:
    found = offered.ops.get(op.type, OpSupport((), note="FX has no int8 form of it"))
    note = op.note or found.note
    if not note and found.inside and transformer:
        note = "kept in float: in a transformer, int8 costs more accuracy here than it saves time"
    precisions = () if note else found.precisions
    origin = f"capability.yaml pytorch_fx {offered.versions}"
    if len(op.members) > 1 and precisions:
        note = f"called {len(op.members)} times, each with its own ranges"
    return Capability(Op(op.id, op.type), (*precisions, FP32), origin=origin, note=note)


def observers_of(rows: Iterable[Capability]) -> frozenset[Observer]:
    """Which observers static precisions of these rows use."""
    precisions = [p for row in rows for p in row.precisions if p.mode is Mode.STATIC]
    return frozenset(p.activation.observer for p in precisions if p.activation is not None)
