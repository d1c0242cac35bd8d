"""From a plan to an ONNX model: our own emitter, one pass over the graph."""

from __future__ import annotations

from collections.abc import Container, Sequence
from enum import StrEnum

import numpy as np
from onnx import ModelProto, NodeProto

from autoq.adaptors.onnxrt.emit import Emitter, Stored
from autoq.adaptors.onnxrt.fusion import PASS_THROUGH, FusedOp, Fusion, clip_bounds, pad_value, passes_through
from autoq.adaptors.onnxrt.graph import Graph
from autoq.adaptors.onnxrt.kernels import Kernels
from autoq.adaptors.onnxrt.model import OnnxModel
from autoq.adaptors.onnxrt.ranges import Ranges
from autoq.core.errors import TrialError
from autoq.core.plan import Plan
from autoq.core.precision import Mode
from autoq.core.statistics import Calibration


class Format(StrEnum):
    """How static ops are written: between Quantize and Dequantize nodes, or as quantized operators.

    `PORTABLE` is QDQ with operators of the ONNX standard only, so that other runtimes read it.
    """

    QDQ = "qdq"
    PORTABLE = "portable"
    QOPERATOR = "qoperator"


# Ops whose kernel can leave its result in float; the others have to quantize it.
FLOAT_OUTPUT = frozenset({"MatMul", "Gemm"})


def build(model: OnnxModel, plan: Plan, calibration: Calibration | None, form: Format) -> ModelProto:
    """The model a plan describes.

    Raises:
        TrialError: The plan names an op that the model does not have, or statistics are missing.
    """
    fusion = model.fusion
    known = {op.id for op in fusion.ops}
    unknown = next((op for op in plan if op not in known), None)
    if unknown is not None:
        raise TrialError("the plan names an op that this model does not have", where=unknown)
    if plan.recipes:
        raise TrialError(f"recipe '{plan.recipes[0].label}' has to be applied to the model before its precisions")
    emitter = Emitter(fusion.graph)
    ranges = Ranges(calibration, model.memo.setdefault("grids", {}))
    kernels = Kernels(emitter, ranges, model.memo.setdefault("weights", {}), qdq=form is not Format.QOPERATOR)
    kernels.standard = form is Format.PORTABLE
    wanted = wanted_quantized(fusion, {op.id for op in fusion.ops if plan[op.id].mode is Mode.STATIC})
    for index, node in enumerate(fusion.graph.nodes):
        op = fusion.owner.get(index)
        mode = plan[op.id].mode if op is not None else Mode.FP32
        if op is None or mode is Mode.FP32:
            _float(emitter, fusion, index, node, wanted)
        elif index != op.anchor:
            continue
        elif mode is Mode.STATIC:
            kernels.static(op, plan[op.id], keep=op.type not in FLOAT_OUTPUT or op.output in wanted)
        elif mode is Mode.DYNAMIC:
            kernels.dynamic(op, plan[op.id])
        else:
            raise TrialError(f"ONNX Runtime has no {mode} form of this op", where=op.id)
    return emitter.finish()


def wanted_quantized(fusion: Fusion, static: Container[str]) -> frozenset[str]:
    """Tensors that some static op reads, directly or through ops that only move values."""
    graph, wanted = fusion.graph, set[str]()
    for op in fusion.ops:
        if op.id in static:
            wanted.update(op.operands)
    for index in range(len(graph.nodes) - 1, -1, -1):
        node = graph.nodes[index]
        if index not in fusion.owner and passes_through(graph, index) and wanted.intersection(node.output):
            wanted.add(node.input[0])
    return frozenset(wanted)


def observable(fusion: Fusion, ops: Sequence[FusedOp]) -> tuple[str, ...]:
    """Tensors whose statistics static forms of `ops` can ask for, in execution order."""
    wanted = wanted_quantized(fusion, {op.id for op in ops})
    found: dict[str, None] = {}
    for op in ops:
        found |= {name: None for name in op.operands if name not in fusion.graph.initializers}
        if op.type not in FLOAT_OUTPUT or op.output in wanted:
            found[op.output] = None
    return tuple(found)


def _can_pass(graph: Graph, node: NodeProto, source: Stored) -> bool:
    return node.op_type != "Pad" or source.grid.covers(pad_value(graph, node))


def _float(emitter: Emitter, fusion: Fusion, index: int, node: NodeProto, wanted: frozenset[str]) -> None:
    graph = fusion.graph
    source = emitter.stored(node.input[0]) if node.input else None
    if (
        source is None
        or not passes_through(graph, index)
        or not wanted.intersection(node.output)
        or not _can_pass(graph, node, source)
    ):
        for name in graph.captured(index):
            emitter.float_of(name)
        op = fusion.by_anchor.get(index)
        moves = node.op_type in PASS_THROUGH
        # ONNX Runtime crashes where it moves a conversion across a node whose result a subgraph reads.
        apart = moves and not graph.captured_names.isdisjoint(node.output)
        if op is not None:
            apart = op.output in wanted or op.type in FLOAT_OUTPUT
        elif node.op_type == "ConvTranspose":
            apart = node.output[0] in wanted
        emitter.copy(node, op.operands if op is not None else node.input[:1], apart=apart, moves=moves)
        return
    outputs = [emitter.declare_same(name, source).name if name else "" for name in node.output]
    inputs = [source.name, *node.input[1:]]
    attributes = list(node.attribute)
    op_type = node.op_type
    if op_type in ("Relu", "Clip"):
        low, high = clip_bounds(graph, node) or (0.0, 0.0)
        bounds = (source.grid.stored(low), source.grid.stored(high))
        names = [emitter.constant(f"{node.name}/bound_{b}", np.asarray(b, np.uint8)) for b in bounds]
        op_type, inputs = "Clip", [source.name, *names]
    elif op_type == "Pad":
        fill = source.grid.stored(pad_value(graph, node))
        name = emitter.constant(f"{node.name}/fill_{fill}", np.asarray(fill, np.uint8))
        inputs = [source.name, node.input[1], name, *node.input[3:]]
    emitter.add(op_type, inputs, outputs, node.name, attributes=attributes)
