"""From a plan to an ONNX model with quantize and dequantize nodes where OpenVINO wants them.

OpenVINO runs an op in 8 bits when what it reads is quantized: its inputs pass a QuantizeLinear and a
DequantizeLinear, its weight a DequantizeLinear. What an op leaves behind is 8 bits wide when only such inputs
read it; OpenVINO finds that out itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper

from autoq.adaptors.onnxrt.emit import MICROSOFT, Emitter
from autoq.adaptors.onnxrt.fusion import FusedOp, Fusion, pad_value, passes_through
from autoq.adaptors.onnxrt.graph import Graph, attribute
from autoq.adaptors.onnxrt.model import OnnxModel
from autoq.adaptors.onnxrt.ranges import Grid, Ranges
from autoq.adaptors.onnxrt.weights import QuantizedWeight, quantize
from autoq.core.errors import TrialError
from autoq.core.plan import Plan
from autoq.core.precision import DType, Mode, TensorQuant
from autoq.core.statistics import Calibration

_ZERO_POINT = {DType.UINT8: np.uint8, DType.INT8: np.int8}

# They change the range: a grid in front of them would waste its points on what they cut off.
_CLIPS = frozenset({"Relu", "Clip"})

_TINY = 1e-30

WeightMemo = dict[tuple[str, TensorQuant, int], tuple[QuantizedWeight, TensorProto]]


@dataclass(frozen=True, eq=False)
class OperandGrid:
    """The grid of one tensor that is quantized.

    Attributes:
        quant: What was asked for by the first op that reads it.
        grid: Scale and zero point.
    """

    quant: TensorQuant
    grid: Grid


@dataclass(frozen=True, eq=False)
class Quantized:
    """What a plan quantized, and how.

    Attributes:
        grids: Grid by the tensor that is quantized.
        roots: Names of the quantized tensors an op reads, by op id.
        weight_scales: Scales of the quantized weight by op id.
    """

    grids: Mapping[str, OperandGrid]
    roots: Mapping[str, tuple[str, ...]]
    weight_scales: Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class Built:
    """The model that a plan makes, and what is quantized in it."""

    proto: ModelProto
    quantized: Quantized


def safe_name(name: str) -> str:
    """A node's name as OpenVINO tells it back unharmed: it joins the names of fused nodes by commas."""
    return name.replace(",", ";")


def build(model: OnnxModel, plan: Plan, calibration: Calibration | None) -> Built:
    """The model a plan describes.

    Raises:
        TrialError: The plan names an op that the model does not have, or statistics are missing.
    """
    fusion = model.fusion
    known = {op.id for op in fusion.ops}
    unknown = next((op for op in plan if op not in known), None)
    if unknown is not None:
        raise TrialError("the plan names an op that this model does not have", where=unknown)
    writer = _Writer(model, plan, calibration)
    for index, node in enumerate(fusion.graph.nodes):
        writer.write(index, node)
    return writer.finish()


def observable(fusion: Fusion, ops: Iterable[FusedOp]) -> tuple[str, ...]:
    """Tensors whose statistics static forms of `ops` ask for, in execution order."""
    graph = fusion.graph
    found = {root(fusion, name): None for op in ops for name in op.operands if name not in graph.initializers}
    return tuple(found)


def root(fusion: Fusion, tensor: str) -> str:
    """Where a tensor's values come from, before nodes that only move them: there it is quantized."""
    graph = fusion.graph
    while True:
        index = graph.producer.get(tensor)
        if index is None or not moves(fusion, index):
            return tensor
        tensor = graph.nodes[index].input[0]


def moves(fusion: Fusion, index: int) -> bool:
    """Whether a node outside of all ops only moves values, so that it runs on 8 bits as well."""
    graph = fusion.graph
    node = graph.nodes[index]
    if index in fusion.owner or node.op_type in _CLIPS or not passes_through(graph, index):
        return False
    return node.op_type != "Pad" or pad_value(graph, node) == 0.0


@dataclass(frozen=True, eq=False)
class _Reading:
    """Which tensors static ops read quantized, by whose wish, and through which nodes."""

    quants: Mapping[str, TensorQuant]
    carried: frozenset[int]


def _reading(fusion: Fusion, plan: Plan) -> _Reading:
    graph = fusion.graph
    quants: dict[str, TensorQuant] = {}
    carried: set[int] = set()
    for op in fusion.ops:
        activation = plan[op.id].activation
        if plan[op.id].mode is not Mode.STATIC or activation is None:
            continue
        for name in op.operands:
            if name in graph.initializers:
                continue
            tensor = name
            while (index := graph.producer.get(tensor)) is not None and moves(fusion, index):
                carried.add(index)
                tensor = graph.nodes[index].input[0]
            quants.setdefault(tensor, activation)
    return _Reading(quants, frozenset(carried))


class _Writer:
    """Writes the nodes of one variant, in order."""

    def __init__(self, model: OnnxModel, plan: Plan, calibration: Calibration | None) -> None:
        self._fusion, self._plan = model.fusion, plan
        self._graph: Graph = model.fusion.graph
        self._emitter = Emitter(self._graph)
        self._ranges = Ranges(calibration, model.memo.setdefault("grids", {}))
        self._memo: WeightMemo = model.memo.setdefault("openvino weights", {})
        self._reading = _reading(self._fusion, plan)
        self._grids: dict[str, OperandGrid] = {}
        self._quantized: dict[str, str] = {}
        self._weight_scales: dict[str, NDArray[np.float32]] = {}
        self._roots: dict[str, tuple[str, ...]] = {}

    def write(self, index: int, node: NodeProto) -> None:
        """Write a node with the forms of its inputs that the plan wants."""
        op = self._fusion.owner.get(index)
        copied = NodeProto()
        copied.CopyFrom(node)
        copied.name = safe_name(node.name)
        if op is not None and index == op.anchor and self._plan[op.id].mode is not Mode.FP32:
            self._static(op, copied)
        elif index in self._reading.carried:
            copied.input[0] = self._quantize(node.input[0])
        self._emitter.copy(copied)

    def finish(self) -> Built:
        """The model and its grids."""
        proto = self._emitter.finish()
        if all(node.domain != MICROSOFT for node in proto.graph.node):
            kept = [o for o in proto.opset_import if o.domain != MICROSOFT]
            proto.ClearField("opset_import")
            proto.opset_import.extend(kept)
        return Built(proto, Quantized(self._grids, self._roots, self._weight_scales))

    def _static(self, op: FusedOp, node: NodeProto) -> None:
        precision = self._plan[op.id]
        if precision.mode is not Mode.STATIC:
            raise TrialError(f"OpenVINO has no {precision.mode} form of this op", where=op.id)
        roots = []
        for position, name in enumerate(node.input):
            if name in op.operands and name not in self._graph.initializers:
                node.input[position] = self._quantize(name)
                roots.append(root(self._fusion, name))
        self._roots[op.id] = tuple(roots)
        if op.weight is not None and precision.weight is not None:
            node.input[1] = self._weight(op, op.weight, precision.weight, _output_axis(op, node))
        if op.type in ("Conv", "ConvTranspose") and (op.bias is None or not self._graph.array(op.bias).any()):
            self._tiny_bias(op, node)

    def _quantize(self, tensor: str) -> str:
        """The tensor behind its own quantize and dequantize nodes; itself where it comes from quantized ones."""
        quant = self._reading.quants.get(tensor)
        if quant is None:
            return tensor
        if tensor not in self._quantized:
            grid = self._ranges.grid(tensor, quant)
            self._grids[tensor] = OperandGrid(quant, grid)
            constant, emitter = self._emitter.constant, self._emitter
            scale = constant(f"{tensor}/scale", np.asarray(grid.scale, np.float32))
            zero_point = constant(f"{tensor}/zero_point", np.asarray(grid.zero_point, _ZERO_POINT[quant.dtype]))
            stored, back = emitter.fresh(f"{tensor}/quantized"), emitter.fresh(f"{tensor}/dequantized")
            emitter.add("QuantizeLinear", [tensor, scale, zero_point], [stored], f"{tensor}/quantize")
            emitter.add("DequantizeLinear", [stored, scale, zero_point], [back], f"{tensor}/dequantize")
            self._quantized[tensor] = back
        return self._quantized[tensor]

    def _tiny_bias(self, op: FusedOp, node: NodeProto) -> None:
        """A bias that is too small to matter, and not zero.

        OpenVINO 2026.4 computes garbage in an 8-bit convolution without a bias whose result is read more than once,
        and a bias of zeros it removes.
        """
        channels = self._graph.initializers[op.weight or ""].dims[_output_axis(op, node)]
        name = self._emitter.constant(f"{op.id}/no_bias", np.full(channels, _TINY, np.float32))
        del node.input[2:]
        node.input.append(name)

    def _weight(self, op: FusedOp, name: str, quant: TensorQuant, axis: int) -> str:
        key = (name, quant, axis)
        if key not in self._memo:
            quantized = quantize(np.ascontiguousarray(self._graph.array(name)), quant, axis)
            tensor = numpy_helper.from_array(quantized.values, self._emitter.fresh(f"{name}/{quant.granularity}"))
            self._memo[key] = quantized, tensor
        quantized, tensor = self._memo[key]
        stored, back = self._emitter.share(tensor), self._emitter.fresh(f"{op.id}/weight")
        scales = quantized.scales.reshape(()) if quantized.scales.size == 1 else quantized.scales
        self._weight_scales[op.id] = quantized.scales
        inputs = [
            stored,
            self._emitter.constant(f"{op.id}/weight/scale", scales),
            self._emitter.constant(f"{op.id}/weight/zero_point", np.zeros(scales.shape, np.int8)),
        ]
        values: dict[str, Any] = {"axis": axis} if scales.ndim else {}
        self._emitter.add("DequantizeLinear", inputs, [back], f"{op.id}/dequantize_weight", **values)
        return back


def _output_axis(op: FusedOp, node: NodeProto) -> int:
    if op.type == "Conv":
        return 0
    if op.type == "ConvTranspose":
        return 1
    return 0 if op.type == "Gemm" and attribute(node, "transB", 0) else 1
