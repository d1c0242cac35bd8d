"""What oneDNN's 8-bit kernels cannot do, and how an op asks for them."""

from __future__ import annotations

import math

from autoq.adaptors.tensorflow.fusion import FusedOp
from autoq.adaptors.tensorflow.graph import Graph, NodeDef

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
    if op.type == "MatMul" and node.attr["transpose_a"].b:
        return "its first operand is transposed"
    if op.type in ("MaxPool", "AvgPool"):
        if node.attr["data_format"].s not in _NHWC:
            return "channels come first (NCHW); the 8-bit kernels want them last"
        if any(node.attr[key].list.i[axis] != 1 for key in ("ksize", "strides") for axis in (0, 3)):
            return "it pools over samples or channels"
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


def is_padded(graph: Graph, op: FusedOp) -> bool:
    """Whether a convolution reads zeros beyond the edges, which fixes what zero is stored as."""
    if op.type not in ("Conv2D", "DepthwiseConv2dNative"):
        return False
    node = graph.by_name[op.id]
    padding = node.attr["padding"].s
    if padding == b"EXPLICIT":
        return any(node.attr["explicit_paddings"].list.i)
    if padding == b"VALID" or op.weight is None:
        return False
    value, shape = graph.constant(op.weight), graph.shape(op.operands[0])
    assert value is not None
    for axis in (1, 2):
        kernel, stride, size = value.shape[axis - 1], node.attr["strides"].list.i[axis], shape[axis] if shape else None
        dilations = node.attr["dilations"].list.i
        reach = (kernel - 1) * (dilations[axis] if dilations else 1) + 1
        if size is None:
            if reach > 1:
                return True
        elif (math.ceil(size / stride) - 1) * stride + reach > size:
            return True
    return False


def _why_no_convolution(graph: Graph, op: FusedOp, node: NodeDef) -> str:
    if node.attr["data_format"].s not in _NHWC:
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
