"""An indexed view of a ``.tflite`` model: its ops, its tensors, what feeds what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.tools import flatbuffer_utils
from ai_edge_quantizer.utils import tfl_flatbuffer_utils
from numpy.typing import NDArray

ModelT = Any
"""``schema_py_generated.ModelT``: a model as plain objects, which may be changed and written again."""

OP_NAMES: Mapping[int, str] = {
    **{code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)},
    # As the quantizer's policy calls it.
    schema.BuiltinOperator.TRANSPOSE_CONV: "CONV_2D_TRANSPOSE",
}
"""Name of an operator by its code."""

TYPE_NAMES: Mapping[int, str] = {
    code: name.lower() for name, code in vars(schema.TensorType).items() if isinstance(code, int)
}
"""Name of a tensor type by its code, e.g. ``float32``."""

FLOAT32 = "float32"

_WEIGHT_OPERAND = {
    "CONV_2D": 1,
    "DEPTHWISE_CONV_2D": 1,
    "CONV_2D_TRANSPOSE": 1,
    "FULLY_CONNECTED": 1,
    "BATCH_MATMUL": 1,
    "EMBEDDING_LOOKUP": 1,
}


@dataclass(frozen=True)
class Tensor:
    """One tensor of a model.

    Attributes:
        index: Its place.
        name: Its name.
        type: Its type, e.g. ``float32`` or ``int8``.
        shape: Sizes; None for an axis of any size.
        constant: Whether its values are part of the model.
        scales: Scales of its grid; empty where it is not quantized.
        zero_points: Zero points of its grid.
        axis: Axis along which scales differ.
        block: Elements that share a scale, where weights are quantized in groups; 0 elsewhere.
    """

    index: int
    name: str
    type: str
    shape: tuple[int | None, ...]
    constant: bool
    scales: tuple[float, ...]
    zero_points: tuple[int, ...]
    axis: int
    block: int


@dataclass(frozen=True)
class Node:
    """One operator of a model.

    Attributes:
        index: Its place in execution order.
        type: Operator name, e.g. ``CONV_2D``.
        inputs: Tensors it reads; -1 for an optional one that is missing.
        outputs: Tensors it makes.
        name: Name of its first output, which is unique.
    """

    index: int
    type: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    name: str

    @property
    def weight(self) -> int | None:
        """The tensor that is its weight, where its operator has one."""
        operand = _WEIGHT_OPERAND.get(self.type)
        return self.inputs[operand] if operand is not None and operand < len(self.inputs) else None


@dataclass(frozen=True, eq=False)
class Graph:
    """Ops and tensors of the one subgraph of a model.

    Attributes:
        nodes: In execution order.
        tensors: By index.
        inputs: Tensors that are fed.
        outputs: Tensors that are fetched.
    """

    nodes: Sequence[Node]
    tensors: Sequence[Tensor]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    @cached_property
    def producer(self) -> Mapping[int, Node]:
        """Which node makes a tensor."""
        return {tensor: node for node in self.nodes for tensor in node.outputs}

    @cached_property
    def consumers(self) -> Mapping[int, tuple[Node, ...]]:
        """Which nodes read a tensor."""
        found: dict[int, list[Node]] = {}
        for node in self.nodes:
            for tensor in dict.fromkeys(node.inputs):
                found.setdefault(tensor, []).append(node)
        return {tensor: tuple(nodes) for tensor, nodes in found.items()}

    @cached_property
    def by_name(self) -> Mapping[str, Node]:
        """Node by the name of any of its outputs."""
        return {self.tensors[tensor].name: node for node in self.nodes for tensor in node.outputs}

    @cached_property
    def index_of(self) -> Mapping[str, int]:
        """Tensor by name."""
        return {tensor.name: tensor.index for tensor in self.tensors}

    def activations(self, node: Node) -> tuple[int, ...]:
        """Tensors a node reads that are neither constants nor missing, in order."""
        return tuple(i for i in node.inputs if i >= 0 and not self.tensors[i].constant)


def parse(content: bytes) -> ModelT:
    """The objects of a model; arrays are views of `content`."""
    return tfl_flatbuffer_utils.read_model(memoryview(content))


def write(model: ModelT) -> bytes:
    """The file of a model; its objects may be written again."""
    for buffer in model.buffers:
        if buffer.data is not None and not isinstance(buffer.data, np.ndarray):
            # Anything but an array is written byte by byte, in Python.
            buffer.data = np.frombuffer(memoryview(buffer.data), np.uint8)
        # Data that lay behind the model, as in large files, become a part of it.
        buffer.offset = buffer.size = 0
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def graph_of(model: ModelT) -> Graph:
    """The view of a model's first subgraph."""
    subgraph = model.subgraphs[0]
    made = {index for op in subgraph.operators for index in op.outputs} | set(subgraph.inputs)
    tensors = [_tensor(i, t, model, i not in made) for i, t in enumerate(subgraph.tensors)]
    nodes = [
        Node(
            i,
            op_type(model, op),
            tuple(int(t) for t in op.inputs),
            tuple(int(t) for t in op.outputs),
            tensors[op.outputs[0]].name if len(op.outputs) else f"op{i}",
        )
        for i, op in enumerate(subgraph.operators)
    ]
    return Graph(nodes, tensors, tuple(int(i) for i in subgraph.inputs), tuple(int(i) for i in subgraph.outputs))


def op_type(model: ModelT, op: Any) -> str:
    """Operator name of an op; a custom op's own name after ``CUSTOM:``."""
    code = model.operatorCodes[op.opcodeIndex]
    number = max(code.builtinCode, code.deprecatedBuiltinCode)
    if number == schema.BuiltinOperator.CUSTOM:
        return "CUSTOM:" + (code.customCode or b"").decode(errors="replace")
    return OP_NAMES.get(number, f"operator {number}")


def constant(model: ModelT, tensor: Tensor) -> NDArray[np.float32]:
    """Values of a float32 constant, flat."""
    data = model.buffers[model.subgraphs[0].tensors[tensor.index].buffer].data
    return np.frombuffer(memoryview(data), np.float32) if data is not None else np.empty(0, np.float32)


def _tensor(index: int, tensor: Any, model: ModelT, free: bool) -> Tensor:
    quantization = tensor.quantization
    scales = () if quantization is None or quantization.scale is None else quantization.scale
    zero_points = () if quantization is None or quantization.zeroPoint is None else quantization.zeroPoint
    shape: Any = tensor.shapeSignature if tensor.shapeSignature is not None else tensor.shape
    details = None if quantization is None else quantization.details
    return Tensor(
        index,
        tensor.name.decode(errors="replace") if tensor.name else "",
        TYPE_NAMES.get(tensor.type, str(tensor.type)),
        tuple(None if size < 0 else int(size) for size in (() if shape is None else shape)),
        free and model.buffers[tensor.buffer].data is not None,
        tuple(float(s) for s in scales),
        tuple(int(z) for z in zero_points),
        0 if quantization is None else int(quantization.quantizedDimension),
        int(getattr(details, "blockSize", 0) or 0),
    )
