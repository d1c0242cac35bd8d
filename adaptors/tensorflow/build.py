"""From a plan to a graph: float nodes copied, static ops as oneDNN's 8-bit nodes, conversions only at the borders."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from autoq.adaptors.tensorflow import verify
from autoq.adaptors.tensorflow.emit import Emitter, Stored
from autoq.adaptors.tensorflow.fusion import FusedOp, Fusion
from autoq.adaptors.tensorflow.graph import GraphDef, NodeDef, data_inputs
from autoq.adaptors.tensorflow.kernels import Kernels
from autoq.adaptors.tensorflow.limits import pad_sizes, why_not
from autoq.adaptors.tensorflow.model import TensorFlowModel
from autoq.adaptors.tensorflow.moves import CLIPS, DIRECT, moved
from autoq.adaptors.tensorflow.ranges import Ranges
from autoq.adaptors.tensorflow.runtime import tf
from autoq.adaptors.tensorflow.storage import Storage, keeps, plan_storage, wanted
from autoq.core.errors import TrialError
from autoq.core.plan import Plan
from autoq.core.precision import Mode, OpPrecision
from autoq.core.statistics import Calibration


def build(model: TensorFlowModel, plan: Plan, calibration: Calibration | None) -> GraphDef:
    """The graph a plan describes. Fed, fetched and all float tensors are called as in the model's folded graph.

    The node that does an op's work in 8 bits is called ``<op id>/quantized``.

    Raises:
        TrialError: The plan names an op that the model does not have or that has no such form, or statistics are
            missing.
    """
    fusion = model.fusion
    static = _static(fusion, plan)
    ranges = Ranges(calibration, model.memo.setdefault("grids", {}))
    storage = plan_storage(fusion, static, ranges)
    emitter = Emitter(fusion.graph)
    kernels = Kernels(emitter, fusion, storage, model.memo.setdefault("weights", {}), verify.refused())
    for node in fusion.graph.nodes:
        op = fusion.owner.get(node.name)
        if op is not None and op.id in static:
            if node.name == op.last:
                kernels.write(op, static[op.id])
        elif node.name in storage.moves:
            _move(emitter, storage, node)
        elif not _is_constant(fusion, node):
            emitter.copy(node)
    for name in fusion.graph.outputs:
        emitter.float_of(name)
    return emitter.proto


def observable(fusion: Fusion, ops: Sequence[FusedOp]) -> tuple[str, ...]:
    """Tensors whose statistics static forms of `ops` can ask for, in execution order."""
    graph, ids = fusion.graph, {op.id for op in ops}
    wants = wanted(fusion, ids)
    found: dict[str, None] = {}
    for node in graph.nodes:
        op = fusion.owner.get(node.name)
        if op is None:
            if f"{node.name}:0" in wants:
                found |= dict.fromkeys(moved(graph, node))
        elif op.id in ids and node.name == op.last:
            found |= dict.fromkeys(op.reads)
            if keeps(op, wants):
                found[op.output] = None
    return tuple(found)


def _static(fusion: Fusion, plan: Plan) -> dict[str, OpPrecision]:
    unknown = next((op for op in plan if op not in fusion.by_id), None)
    if unknown is not None:
        raise TrialError("the plan names an op that this model does not have", where=unknown)
    static: dict[str, OpPrecision] = {}
    for op in fusion.ops:
        precision = plan[op.id]
        if precision.mode is Mode.FP32:
            continue
        if precision.mode is not Mode.STATIC:
            raise TrialError(f"TensorFlow has no {precision.mode} form of this op", where=op.id)
        reason = why_not(fusion.graph, op)
        if reason:
            raise TrialError(f"this op has no 8-bit kernel: {reason}", where=op.id)
        static[op.id] = precision
    return static


def _is_constant(fusion: Fusion, node: NodeDef) -> bool:
    """Constants are written where something reads them: the float weights of 8-bit ops are not."""
    return node.op in ("Const", "Identity", "Snapshot") and fusion.graph.constant(f"{node.name}:0") is not None


def _move(emitter: Emitter, storage: Storage, node: NodeDef) -> None:
    graph, inputs = emitter.graph, data_inputs(node)
    values = moved(graph, node)
    stored = [emitter.quantized(name, storage.grids[name]) for name in values]
    first, output = stored[0], f"{node.name}:0"
    grid, base = first.grid, f"{node.name}/stored"
    if node.op in CLIPS:
        high = grid.stored(6.0) if node.op == "Relu6" and grid.real[1] > 6.0 else None
        emitter.keep(output, emitter.clamp(first, grid.zero_point, high))
    elif node.op == "Pad":
        sizes = np.asarray(pad_sizes(graph, node), np.int32).reshape(-1, 2)
        emitter.keep(output, emitter.pad(first, emitter.array(f"{node.name}/sizes", sizes), node.name))
    elif node.op in DIRECT:
        others = [emitter.float_of(name) for name in inputs[len(values) :]]
        made = emitter.add_like(node, emitter.fresh(base), [*(s.name for s in stored), *others], first.type)
        emitter.keep(output, Stored(made, grid))
    else:
        others = [emitter.float_of(name) for name in inputs[1:]]
        seen, kind = emitter.bytes_of(first), tf.int8 if grid.signed else tf.uint8
        made = emitter.add_like(node, emitter.fresh(f"{node.name}/bytes"), [seen, *others], kind)
        emitter.keep(output, emitter.as_stored(made, grid, node.name))
