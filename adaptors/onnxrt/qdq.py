"""Reading graphs with quantize and dequantize nodes, whoever wrote them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

QUANTIZE, DEQUANTIZE = "QuantizeLinear", "DequantizeLinear"

WEIGHTED = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
"""Ops that multiply with weights, or two activations with each other."""

ELEMENTWISE = frozenset({"Add", "Sub", "Mul", "Div"})

MOVES = frozenset(
    {"Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Slice", "Split", "Identity", "MaxPool", "Expand"}
)
"""Ops that only move values (or pick some), so that quantizing before or after them is the same."""

_ACTIVATIONS = frozenset({"Relu", "Clip", "LeakyRelu", "Sigmoid", "HardSwish", "HardSigmoid", "PRelu", "Elu"})


class QdqGraph:
    """Who makes and who reads each tensor of a model.

    Args:
        proto: The model; not changed.
    """

    def __init__(self, proto: ModelProto) -> None:
        self.proto = proto
        self.nodes: Sequence[NodeProto] = list(proto.graph.node)
        self.outputs = frozenset(o.name for o in proto.graph.output)
        self.producer: dict[str, NodeProto] = {name: node for node in self.nodes for name in node.output if name}
        self.consumers: dict[str, list[NodeProto]] = {}
        for node in self.nodes:
            for name in dict.fromkeys(node.input):
                self.consumers.setdefault(name, []).append(node)

    @cached_property
    def constants(self) -> dict[str, TensorProto]:
        """Initializers and constants by tensor."""
        found = {t.name: t for t in self.proto.graph.initializer}
        for node in self.nodes:
            if node.op_type == "Constant":
                value = next((a.t for a in node.attribute if a.name == "value"), None)
                if value is not None:
                    found[node.output[0]] = value
        return found

    def array(self, name: str) -> NDArray[Any]:
        """Values of a constant."""
        found: NDArray[Any] = numpy_helper.to_array(self.constants[name])
        return found

    def origin(self, tensor: str) -> NodeProto | None:
        """The node that makes a tensor's values, before nodes that only move them."""
        node = self.producer.get(tensor)
        while node is not None and node.op_type in MOVES:
            node = self.producer.get(node.input[0])
        return node

    def dequantized(self, tensor: str) -> NodeProto | None:
        """The dequantize node a tensor comes from; None when it is float."""
        node = self.origin(tensor)
        return node if node is not None and node.op_type == DEQUANTIZE else None

    def data_inputs(self, node: NodeProto) -> tuple[str, ...]:
        """What a node computes with, without bias, shapes and bounds."""
        if node.op_type in WEIGHTED:
            return (node.input[0], node.input[1])
        if node.op_type in ELEMENTWISE or node.op_type == "Concat":
            return tuple(node.input)
        return tuple(node.input[:1])

    def has_weight(self, node: NodeProto) -> bool:
        """Whether the second thing a node computes with is a constant, stored in float or in 8 bits."""
        name = node.input[1]
        passing = MOVES | {QUANTIZE, DEQUANTIZE, "Clip"}
        while (source := self.producer.get(name)) is not None and source.op_type in passing:
            name = source.input[0]
        return name in self.constants

    def is_quantized(self, node: NodeProto) -> bool:
        """Whether all a node computes with was quantized."""
        return node.op_type not in (QUANTIZE, DEQUANTIZE) and all(
            self.dequantized(name) is not None for name in self.data_inputs(node)
        )

    def result(self, node: NodeProto) -> str:
        """The tensor that holds a node's result: behind its activation and its quantization, where it has them."""
        tensor = str(node.output[0])
        while True:
            readers = self.consumers.get(tensor, [])
            quantizers = [r for r in readers if r.op_type == QUANTIZE]
            if quantizers:
                back = self.consumers.get(quantizers[0].output[0], [])
                return str(back[0].output[0]) if back and back[0].op_type == DEQUANTIZE else tensor
            if len(readers) != 1 or tensor in self.outputs or not self._belongs(readers[0], tensor):
                return tensor
            tensor = str(readers[0].output[0])

    def _belongs(self, reader: NodeProto, tensor: str) -> bool:
        """Whether a node that reads a result is part of the same op: its activation, or its bias."""
        if reader.op_type == "Add":
            return any(name in self.constants for name in reader.input if name != tensor)
        return reader.op_type in _ACTIVATIONS

    def zero_point(self, node: NodeProto) -> NDArray[Any] | None:
        """The zero point of a quantize or dequantize node; None when it has none or it is no constant."""
        if len(node.input) < 3 or node.input[2] not in self.constants:
            return None
        return self.array(node.input[2])

    def stored_type(self, node: NodeProto) -> int | None:
        """Element type a quantize or dequantize node stores, as ONNX numbers them; None when it is not known."""
        if len(node.input) > 2 and node.input[2]:
            tensor = self.constants.get(node.input[2])
            return None if tensor is None else int(tensor.data_type)
        if node.op_type == DEQUANTIZE:
            constant = self.constants.get(node.input[0])
            if constant is not None:
                return int(constant.data_type)
            source = self.producer.get(node.input[0])
            return self.stored_type(source) if source is not None and source.op_type == QUANTIZE else None
        chosen = attribute_of(node, "output_dtype")
        return int(chosen) if chosen else int(TensorProto.UINT8)

    def pairs(self) -> Iterator[NodeProto]:
        """All quantize and dequantize nodes."""
        return (node for node in self.nodes if node.op_type in (QUANTIZE, DEQUANTIZE))


def attribute_of(node: NodeProto, name: str, default: Any = None) -> Any:
    """An attribute's value."""
    return next((helper.get_attribute_value(a) for a in node.attribute if a.name == name), default)


def is_zero(values: NDArray[Any] | None) -> bool:
    """Whether a zero point is zero; a missing one is."""
    return values is None or not np.any(values)
