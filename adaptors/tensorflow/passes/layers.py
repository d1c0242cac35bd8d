"""Convolutions and matrix products with constant weights, and what stands behind them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoq.adaptors.tensorflow.graph import Graph, NodeDef, attribute, data_inputs

LAYERS = frozenset({"Conv2D", "DepthwiseConv2dNative", "MatMul"})
Row = NDArray[np.float32]


def is_layer(graph: Graph, node: NodeDef) -> bool:
    """Whether a node is a float32 convolution (NHWC) or product with a constant weight."""
    if node.op not in LAYERS or graph.dtype(f"{node.name}:0") != "float32":
        return False
    channels_last = node.op == "MatMul" or attribute(node, "data_format").s in (b"", b"NHWC")
    return channels_last and graph.constant(data_inputs(node)[1]) is not None


def channels(graph: Graph, node: NodeDef) -> int:
    """Number of outputs of a layer."""
    weight = graph.constant(data_inputs(node)[1])
    assert weight is not None
    if node.op == "DepthwiseConv2dNative":
        return int(weight.shape[2] * weight.shape[3])
    return int(weight.shape[0] if node.op == "MatMul" and attribute(node, "transpose_b").b else weight.shape[-1])


def scaled_weight(graph: Graph, node: NodeDef, factor: Row) -> NDArray[Any]:
    """A layer's weight with each output multiplied by a factor.

    Args:
        graph: The graph.
        node: The layer.
        factor: ``[channels]``.
    """
    weight = graph.constant(data_inputs(node)[1])
    assert weight is not None
    if node.op == "DepthwiseConv2dNative":
        # Output c·M + m comes from input c.
        return np.asarray(weight * factor.reshape(weight.shape[2:]), np.float32)
    if node.op == "MatMul" and attribute(node, "transpose_b").b:
        return np.asarray(weight * factor[:, None], np.float32)
    return np.asarray(weight * factor, np.float32)


def row(graph: Graph, tensor: str, size: int, rank: int) -> Row | None:
    """A constant that broadcasts along the last axis only, as ``[size]``; None when it does not."""
    value = graph.constant(tensor)
    if value is None or value.dtype != np.float32 or value.ndim > rank:
        return None
    if value.size == 1:
        return np.full(size, value.reshape(()), np.float32)
    return value.reshape(size) if value.size == size and value.shape[-1] == size else None


def other_operand(node: NodeDef, tensor: str) -> str | None:
    """The second operand of a node that reads a tensor as one of two; None when it reads it twice."""
    first, second = data_inputs(node)
    if first == second:
        return None
    return second if first == tensor else first


def step_behind(graph: Graph, tensor: str) -> NodeDef | None:
    """The node that is all that reads a layer's result, and keeps its shape."""
    node = graph.only_consumer(tensor)
    if node is None or graph.shape(tensor) is None or graph.shape(f"{node.name}:0") != graph.shape(tensor):
        return None
    return node
