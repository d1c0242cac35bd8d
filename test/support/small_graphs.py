"""ONNX models made node by node, with random weights: a small network of every kind the tests need."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

FLOAT = TensorProto.FLOAT


class Graph:
    """Builds an ONNX model node by node, with random weights of a sensible size."""

    def __init__(self, opset: int = 17) -> None:
        self._random = np.random.default_rng(7)
        self._nodes: list[NodeProto] = []
        self._constants: list[TensorProto] = []
        self._inputs: list[Any] = []
        self._opset = opset

    def input(self, name: str, shape: Sequence[int | str | None], dtype: int = FLOAT) -> str:
        self._inputs.append(helper.make_tensor_value_info(name, dtype, list(shape)))
        return name

    def constant(self, name: str, values: Any) -> str:
        self._constants.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def weight(self, name: str, *shape: int) -> str:
        fan_in = int(np.prod(shape[1:])) or 1
        return self.constant(name, (self._random.standard_normal(shape) / fan_in**0.5).astype(np.float32))

    def node(self, op_type: str, inputs: Sequence[str], name: str, outputs: int = 1, **attributes: Any) -> str:
        """Append a node; its outputs are ``name:0``, ``name:1``... and the first is returned."""
        names = [f"{name}:{i}" for i in range(outputs)]
        self._nodes.append(helper.make_node(op_type, list(inputs), names, name=name, **attributes))
        return names[0]

    def conv(self, x: str, name: str, channels: tuple[int, int], kernel: int = 3, group: int = 1) -> str:
        weight = self.weight(f"{name}.w", channels[1], channels[0] // group, kernel, kernel)
        bias = self.weight(f"{name}.b", channels[1])
        pads = [kernel // 2] * 4
        return self.node("Conv", [x, weight, bias], name, pads=pads, group=group)

    def finish(self, *outputs: str) -> ModelProto:
        values = [helper.make_tensor_value_info(o, FLOAT, None) for o in outputs]
        graph = helper.make_graph(self._nodes, "test", self._inputs, values, self._constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", self._opset)], ir_version=8)


def small_cnn(opset: int = 17) -> ModelProto:
    """Conv+Relu, depthwise Conv+Clip, residual Add, MaxPool, GlobalAveragePool, Flatten, Gemm."""
    g = Graph(opset)
    x = g.node("Relu", [g.conv(g.input("image", ["batch", 3, 16, 16]), "stem", (3, 8))], "relu")
    bounds = [g.constant("zero", np.float32(0)), g.constant("six", np.float32(6))]
    y = g.node("Clip", [g.conv(x, "depthwise", (8, 8), group=8), *bounds], "relu6")
    x = g.node("Add", [x, g.conv(y, "project", (8, 8), kernel=1)], "residual")
    x = g.node("MaxPool", [x], "pool", kernel_shape=[2, 2], strides=[2, 2])
    x = g.node("GlobalAveragePool", [g.conv(x, "head", (8, 16))], "average")
    x = g.node("Flatten", [x], "flatten")
    return g.finish(g.node("Gemm", [x, g.weight("fc.w", 10, 16), g.weight("fc.b", 10)], "fc", transB=1))


def encoder() -> ModelProto:
    """Two MatMul+bias on one input, attention between them, a third MatMul, residual and LayerNormalization."""
    g = Graph()
    x = g.input("tokens", ["batch", "time", 32])

    def linear(source: str, name: str) -> str:
        product = g.node("MatMul", [source, g.weight(f"{name}.w", 32, 32)], name)
        return g.node("Add", [product, g.weight(f"{name}.b", 32)], f"{name}/bias")

    query, key = linear(x, "query"), linear(x, "key")
    scores = g.node("MatMul", [query, g.node("Transpose", [key], "turn", perm=[0, 2, 1])], "scores")
    context = g.node("MatMul", [g.node("Softmax", [scores], "softmax", axis=-1), x], "context")
    summed = g.node("Add", [x, linear(context, "output")], "residual")
    scale = [g.constant("ln.w", np.ones(32, np.float32)), g.constant("ln.b", np.zeros(32, np.float32))]
    return g.finish(g.node("LayerNormalization", [summed, *scale], "norm"))
