"""What oneDNN's 8-bit kernels cannot do, and how an op asks for them."""

from __future__ import annotations

import math

from autoq.adaptors.tensorflow.fusion import FusedOp
from autoq.adaptors.tensorflow.graph import Graph, NodeDef, attribute, data_inputs

Edges = tuple[tuple[int, int], tuple[int, int]]
"""Zeros before and after height, and before and after width."""

_NHWC = (b"", b"NHWC")

# Weights whose product with a mean's input spans more than this many positions lose what 8 bits can hold.
_LARGEST_WINDOW = 4096


def why_not(graph: Graph, op: FusedOp) -> str:
    """Why an op has no 8-bit kernel, as a note for the capability table; empty when it has one."""
    node = graph.by_name[op.id]
    if op.type == "BatchMatMulV2" or (op.type == "MatMul" and op.weight is None):
        return "TensorFlow has no 8-bit product of two activations"
    if op.type in ("Conv2D", "DepthwiseConv2dNative"):
        return _why_no_convolution(graph, op, node)
    if op.type == "MatMul" and attribute(node, "transpose_a").b:
        return "its first operand is transposed"
    if op.type in ("MaxPool", "AvgPool"):
        if attribute(node, "data_format").s not in _NHWC:
            return "channels come first (NCHW); the 8-bit kernels want them last"
        if any(attribute(node, key).list.i[axis] != 1 for key in ("ksize", "strides") for axis in (0, 3)):
            return "it pools over samples or channels"
        if attribute(node, "padding").s == b"EXPLICIT":
            return "its padding is explicit"
    if op.type == "Mean":
        window = mean_window(graph, op)
        if window is None:
            return "height or width is not known before it runs"
        if math.prod(window) > _LARGEST_WINDOW:
            return f"it averages over {window[0]} × {window[1]} positions, more than 8-bit weights can"
    return ""


def mean_window(graph: Graph, op: FusedOp) -> tuple[int, int] | None:
    """Height and width that a global mean averages over; None when they are not known."""
    shape = graph.shape(op.operands[0])
    if shape is None or len(shape) != 4 or shape[1] is None or shape[2] is None or shape[3] is None:
        return None
    return shape[1], shape[2]


def edges(graph: Graph, op: FusedOp) -> Edges | None:
    """How many zeros a convolution reads beyond each edge; None when that depends on the size of what it reads."""
    node = graph.by_name[op.id]
    padding = attribute(node, "padding").s
    if padding == b"EXPLICIT":
        sizes = list(attribute(node, "explicit_paddings").list.i)
        return (sizes[2], sizes[3]), (sizes[4], sizes[5])
    if padding == b"VALID":
        head = pad_before(graph, op)
        sizes = [] if head is None else pad_sizes(graph, head)
        return ((sizes[2], sizes[3]), (sizes[4], sizes[5])) if sizes else ((0, 0), (0, 0))
    top_bottom, left_right = _same(graph, op, node, 1), _same(graph, op, node, 2)
    return (top_bottom, left_right) if top_bottom is not None and left_right is not None else None


def is_dilated(node: NodeDef) -> bool:
    """Whether the window of a convolution has gaps."""
    return any(size != 1 for size in attribute(node, "dilations").list.i)


def pad_before(graph: Graph, op: FusedOp) -> NodeDef | None:
    """The Pad node that is part of a convolution."""
    first = graph.by_name[op.members[1]] if len(op.members) > 1 else None
    return first if first is not None and first.op == "Pad" else None


def pad_sizes(graph: Graph, pad: NodeDef) -> list[int]:
    """Sizes of a Pad with constant sizes, before and after each axis in turn."""
    value = graph.constant(data_inputs(pad)[1])
    assert value is not None
    return [int(size) for size in value.reshape(-1)]


def _same(graph: Graph, op: FusedOp, node: NodeDef, axis: int) -> tuple[int, int] | None:
    """Zeros before and after one axis under padding ``SAME``, as TensorFlow's documentation of `tf.nn` gives them."""
    value, shape = graph.constant(op.weight) if op.weight is not None else None, graph.shape(op.operands[0])
    assert value is not None
    dilations, stride = attribute(node, "dilations").list.i, attribute(node, "strides").list.i[axis]
    reach = (value.shape[axis - 1] - 1) * (dilations[axis] if dilations else 1) + 1
    size = shape[axis] if shape is not None else None
    if size is None:
        if stride != 1:
            return None if reach > 1 else (0, 0)
        missing = reach - 1
    else:
        missing = max((math.ceil(size / stride) - 1) * stride + reach - size, 0)
    return missing // 2, missing - missing // 2


def _why_no_convolution(graph: Graph, op: FusedOp, node: NodeDef) -> str:
    if attribute(node, "data_format").s not in _NHWC:
        return "channels come first (NCHW); the 8-bit kernels want them last"
    if op.weight is None:
        return "its weight is not constant"
    value, shape = graph.constant(op.weight), graph.shape(op.operands[0])
    assert value is not None
    if shape is None or shape[-1] is None:
        return "the number of input channels is not known"
    if op.type == "Conv2D" and value.shape[2] != shape[-1]:
        return "grouped convolutions have no 8-bit kernel"
    return ""
