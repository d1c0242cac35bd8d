"""Which nodes of a graph make one quantizable op.

What ONNX Runtime runs as one kernel is one op: a convolution with its activation, a matrix product with its bias.
The op is named after its anchor, the node that does the work.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from onnx import NodeProto

from autoq.adaptors.onnxrt.graph import Graph, attribute
from autoq.adaptors.op_edges import Step, op_edges

Clip = tuple[float, float]

# Ops that only move or select values: they run on whatever their first input is stored in.
PASS_THROUGH = frozenset(
    {
        "MaxPool",
        "Reshape",
        "Flatten",
        "Squeeze",
        "Unsqueeze",
        "Transpose",
        "Slice",
        "Split",
        "Gather",
        "Identity",
        "Expand",
        "Resize",
        "Pad",
        "Relu",
        "Clip",
    }
)

_WEIGHTED = frozenset({"Conv", "MatMul", "Gemm", "LSTM"})
# Other runtimes have 8-bit kernels for them.
_ELSEWHERE = frozenset({"ConvTranspose"})
_ELEMENTWISE = frozenset({"Add", "Mul"})
_UNARY = frozenset({"Sigmoid", "LeakyRelu", "Softmax", "AveragePool", "GlobalAveragePool"})
_TINY = 1e-30

_CLIPPED = frozenset({"Conv", "MatMul", "Gemm", "Add", "Mul", "Div"})


@dataclass(frozen=True)
class FusedOp:
    """One quantizable op and the nodes it is made of.

    Attributes:
        id: Name of the anchor.
        type: Operator type of the anchor.
        anchor: Index of the anchor.
        members: Indices of all its nodes, the anchor first.
        operands: Float inputs it reads quantized: activations, and constants of element-wise ops.
        weight: Constant weight, or None.
        bias: Constant bias, or None.
        output: The tensor it leaves behind.
        clip: Bounds of the activation that ends it; None without one.
    """

    id: str
    type: str
    anchor: int
    members: tuple[int, ...]
    operands: tuple[str, ...]
    weight: str | None
    bias: str | None
    output: str
    clip: Clip | None

    @property
    def label(self) -> str:
        """Type as one row of the capability table: MatMul of two activations is another cell than with a weight."""
        return "MatMul (activations)" if self.type == "MatMul" and self.weight is None else self.type


@dataclass(frozen=True, eq=False)
class Fusion:
    """The quantizable ops of a graph.

    Attributes:
        graph: The graph.
        ops: In execution order.
    """

    graph: Graph
    ops: Sequence[FusedOp]

    @cached_property
    def by_anchor(self) -> Mapping[int, FusedOp]:
        """Op by the index of its anchor."""
        return {op.anchor: op for op in self.ops}

    @cached_property
    def owner(self) -> Mapping[int, FusedOp]:
        """Op by the index of any of its nodes."""
        return {index: op for op in self.ops for index in op.members}

    @cached_property
    def edges(self) -> tuple[tuple[str, str], ...]:
        """Which op feeds which, also through ops that cannot be quantized."""
        owner, graph = self.owner, self.graph
        steps = (
            Step(owner[i].id if i in owner else None, (*node.input, *graph.captured(i)), node.output)
            for i, node in enumerate(graph.nodes)
        )
        return op_edges(steps)


def find_ops(graph: Graph, also: Container[str] = ()) -> Fusion:
    """All quantizable ops of a graph, in execution order.

    Args:
        graph: The graph.
        also: Types to find that only other runtimes have 8-bit kernels for; what is found anyway may be named too.
    """
    taken: set[int] = set()
    ops: list[FusedOp] = []
    for index, node in enumerate(graph.nodes):
        if index in taken or node.domain not in ("", "ai.onnx"):
            continue
        op = _op(graph, index, node, also)
        if op is not None:
            taken.update(op.members)
            ops.append(op)
    return Fusion(graph, ops)


def passes_through(graph: Graph, index: int) -> bool:
    """Whether a node only moves or selects values of its first input, in a way that works on 8-bit tensors."""
    node = graph.nodes[index]
    if node.op_type not in PASS_THROUGH or node.domain not in ("", "ai.onnx") or not graph.is_float(node.input[0]):
        return False
    if node.input[0] in graph.initializers:
        return False
    match node.op_type:
        case "MaxPool":
            return len(node.output) == 1 or not node.output[1]
        case "Resize":
            crops = attribute(node, "coordinate_transformation_mode") == "tf_crop_and_resize"
            return bool(attribute(node, "mode", "nearest") == "nearest") and not crops
        case "Pad":
            return attribute(node, "mode", "constant") == "constant" and _padding(graph, node) is not None
        case "Clip" | "Relu":
            return clip_bounds(graph, node) is not None
        case _:
            return True


def clip_bounds(graph: Graph, node: NodeProto) -> Clip | None:
    """Bounds of a Relu or Clip that keeps zero; None when they are not constant or exclude zero."""
    if node.op_type == "Relu":
        return 0.0, float("inf")
    bounds = []
    for position, missing in ((1, float("-inf")), (2, float("inf"))):
        name = node.input[position] if len(node.input) > position else ""
        if name and name not in graph.initializers:
            return None
        bounds.append(float(graph.array(name).reshape(-1)[0]) if name else missing)
    low, high = bounds
    return (low, high) if low <= 0 <= high and low < high else None


def pad_value(graph: Graph, node: NodeProto) -> float:
    """The constant a Pad that `passes_through` fills with."""
    return _padding(graph, node) or 0.0


def _padding(graph: Graph, node: NodeProto) -> float | None:
    name = node.input[2] if len(node.input) > 2 else ""
    if not name:
        return 0.0
    return float(graph.array(name).reshape(-1)[0]) if name in graph.initializers else None


def _op(graph: Graph, index: int, node: NodeProto, also: Container[str]) -> FusedOp | None:
    if node.op_type in _WEIGHTED or (node.op_type in _ELSEWHERE and node.op_type in also):
        found = _weighted(graph, node)
        if found is None:
            return None
        operands, weight, bias = found
    elif node.op_type == "Div":
        operands, weight, bias = tuple(node.input), None, None
        if not _is_divisor(graph, operands[1]):
            return None
    elif node.op_type in _ELEMENTWISE or node.op_type == "Concat" or node.op_type in _UNARY:
        operands, weight, bias = tuple(node.input), None, None
        if node.op_type in _UNARY:
            operands = operands[:1]
        if not all(operands) or all(name in graph.initializers for name in operands):
            return None
        if any(not _is_finite(graph, name) for name in operands) or not _has_kernel(graph, node):
            return None
    else:
        return None
    if not all(graph.is_float(name) for name in operands):
        return None
    members, output, clip = [index], node.output[0], None
    if node.op_type == "MatMul" and weight is not None:
        follower = _single_consumer(graph, output)
        if follower is not None:
            bias = _bias(graph, graph.nodes[follower], output, graph.shape(weight))
            if bias is not None:
                members.append(follower)
                output = graph.nodes[follower].output[0]
    if node.op_type in _CLIPPED:
        follower = _single_consumer(graph, output)
        if follower is not None and graph.nodes[follower].op_type in ("Relu", "Clip"):
            last = graph.nodes[follower]
            clip = clip_bounds(graph, last) if last.input[0] == output else None
            if clip is not None:
                members.append(follower)
                output = last.output[0]
    return FusedOp(node.name, node.op_type, index, tuple(members), operands, weight, bias, output, clip)


def _weighted(graph: Graph, node: NodeProto) -> tuple[tuple[str, ...], str | None, str | None] | None:
    inputs = (*node.input, "", "", "")
    activation, weight, bias = inputs[0], inputs[1], inputs[2]
    constant = weight in graph.initializers and graph.is_float(weight)
    match node.op_type:
        case "Conv" | "ConvTranspose":
            usable = constant and (not bias or bias in graph.initializers)
            return ((activation,), weight, bias or None) if usable else None
        case "Gemm":
            usable = constant and (not bias or bias in graph.initializers) and not attribute(node, "transA", 0)
            usable = usable and attribute(node, "alpha", 1.0) > 0
            usable = usable and (not bias or _is_row(graph, bias, graph.shape(weight), attribute(node, "transB", 0)))
            return ((activation,), weight, bias or None) if usable else None
        case "LSTM":
            recurrent = inputs[2] in graph.initializers
            standard = constant and recurrent and not attribute(node, "layout", 0) and _plain_lstm(node)
            return ((activation,), weight, None) if standard else None
        case _:
            if constant and len(graph.shape(weight) or ()) == 2:
                return (activation,), weight, None
            if activation in graph.initializers or weight in graph.initializers:
                return None
            return (activation, weight), None, None


def _plain_lstm(node: NodeProto) -> bool:
    return attribute(node, "clip") is None and not attribute(node, "activations") and len(node.input) < 8


def _has_kernel(graph: Graph, node: NodeProto) -> bool:
    """Whether the quantized kernel takes these attributes and shapes, and is right for them."""
    match node.op_type:
        case "AveragePool":
            return set(attribute(node, "dilations", [1])) == {1}
        case "Softmax":
            # The kernel overflows where it has only one value to normalize.
            shape = graph.shape(node.input[0])
            return shape is not None and shape[attribute(node, "axis", -1)] != 1
        case _:
            return True


def _is_finite(graph: Graph, name: str) -> bool:
    """False for constants such as attention masks, which hold infinities: no grid covers them."""
    return name not in graph.initializers or not graph.is_float(name) or bool(np.isfinite(graph.array(name)).all())


def _is_divisor(graph: Graph, name: str) -> bool:
    return name in graph.initializers and graph.is_float(name) and bool(np.all(np.abs(graph.array(name)) > _TINY))


def _is_row(graph: Graph, bias: str, weight: Sequence[int | None] | None, transposed: int) -> bool:
    width = None if weight is None else weight[0 if transposed else 1]
    # A column of as many numbers would be added along the other axis.
    *leading, last = graph.shape(bias) or (1,)
    return last == width and all(s == 1 for s in leading)


def _bias(graph: Graph, node: NodeProto, tensor: str, weight: Sequence[int | None] | None) -> str | None:
    if node.op_type != "Add" or weight is None:
        return None
    other = node.input[1] if node.input[0] == tensor else node.input[0]
    shape = graph.shape(other)
    if other == tensor or other not in graph.initializers or shape is None:
        return None
    row = len(shape) >= 1 and shape[-1] == weight[1] and all(s == 1 for s in shape[:-1])
    # A bias of higher rank than the product would change the rank of the result.
    return other if row and (len(shape) == 1 or len(shape) <= len(graph.shape(tensor) or ())) else None


def _single_consumer(graph: Graph, tensor: str) -> int | None:
    consumers = graph.consumers.get(tensor, ())
    return consumers[0] if len(consumers) == 1 and tensor not in graph.outputs else None
