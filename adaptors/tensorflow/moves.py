"""Nodes that only move, select or clip values: they run on 8-bit tensors, so that islands of them grow together."""

from __future__ import annotations

from autoq.adaptors.tensorflow.graph import Graph, NodeDef, data_inputs

DIRECT = frozenset({"Identity", "Reshape", "Squeeze", "ExpandDims", "StridedSlice", "Slice", "ConcatV2"})
"""Types whose TensorFlow kernels take quantized types as they are."""

VIEWED = frozenset({"Pad", "Transpose", "ResizeNearestNeighbor", "Relu", "Relu6"})
"""Types that run on the bytes: a quantized tensor is seen as plain integers, which costs nothing."""

CLIPS = frozenset({"Relu", "Relu6"})


def moved(graph: Graph, node: NodeDef) -> tuple[str, ...]:
    """The tensors a node moves values of; empty when it does anything else to them."""
    if node.op not in DIRECT and node.op not in VIEWED:
        return ()
    inputs = data_inputs(node)
    values = inputs[:-1] if node.op == "ConcatV2" else inputs[:1]
    if any(graph.dtype(name) != "float32" or graph.constant(name) is not None for name in values):
        return ()
    if node.op in ("ConcatV2", "Pad") and graph.constant(inputs[-1]) is None:
        return ()
    return tuple(values)
