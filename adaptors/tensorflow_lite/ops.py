"""Which ops of a model can be quantized at all, and which only hand 8-bit tensors on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from autoq.adaptors.tensorflow_lite.graph import FLOAT32, Graph, Node

MOVES = frozenset(
    {
        "RESHAPE",
        "TRANSPOSE",
        "STRIDED_SLICE",
        "SLICE",
        "SPLIT",
        "UNPACK",
        "PAD",
        "MIRROR_PAD",
        "SPACE_TO_DEPTH",
        "BROADCAST_TO",
    }
)
"""Operators that move values: they take the precision of what they read, whatever a plan says."""

WORKS = frozenset(
    {"CONV_2D", "DEPTHWISE_CONV_2D", "CONV_2D_TRANSPOSE", "FULLY_CONNECTED", "BATCH_MATMUL", "EMBEDDING_LOOKUP"}
)
"""Operators whose work is large enough to pay for the conversions around them."""

LOOKUPS = frozenset({"GATHER"})
"""Operators that read a constant table: quantized with it, whatever is around them."""

FOLLOWS = frozenset(
    {
        "ADD",
        "AVERAGE_POOL_2D",
        "CONCATENATION",
        "GELU",
        "HARD_SWISH",
        "LOGISTIC",
        "MAX_POOL_2D",
        "MAXIMUM",
        "MEAN",
        "MUL",
        "PACK",
        "RELU",
        "RESIZE_BILINEAR",
        "RESIZE_NEAREST_NEIGHBOR",
        "SOFTMAX",
        "SUB",
        "SUM",
        "TANH",
    }
)
"""Operators that pay only where what they read is quantized already."""

# Left in float on purpose: what a normalization is made of (SQUARED_DIFFERENCE, RSQRT, SQRT, DIV) loses its result
# in 8 bits, and comparisons have none.


@dataclass(frozen=True)
class LiteOp:
    """One quantizable op.

    Attributes:
        id: Name of the tensor it makes.
        type: Operator name.
        node: Place of its node.
        weight: Tensor of its constant weight, or None.
        activations: Float tensors it reads that are no constants.
        output: The tensor it makes.
    """

    id: str
    type: str
    node: int
    weight: int | None
    activations: tuple[int, ...]
    output: int


def find_ops(graph: Graph) -> tuple[LiteOp, ...]:
    """The quantizable ops: those that do work, and those that work on what another quantizable op made."""
    found: dict[int, LiteOp] = {}
    for node in graph.nodes:
        op = _op(graph, node)
        if op is None:
            continue
        sources = [source(graph, tensor) for tensor in op.activations]
        follows = all(s is not None and s.index in found for s in sources) and bool(sources)
        if (
            node.type in WORKS
            or _looks_up(graph, node)
            or (node.type in FOLLOWS and follows and not _normalizes(graph, node))
        ):
            found[node.index] = op
    return tuple(found.values())


def source(graph: Graph, tensor: int) -> Node | None:
    """The node that computes a tensor, seen through nodes that only move values; None for an input."""
    node = graph.producer.get(tensor)
    while node is not None and node.type in MOVES:
        node = graph.producer.get(node.inputs[0])
    return node


def edges(graph: Graph, ops: tuple[LiteOp, ...]) -> Iterator[tuple[str, str]]:
    """``(producer, consumer)`` of the ops, each once; other nodes in between are seen through."""
    ids = {op.node: op.id for op in ops}
    reaches: dict[int, frozenset[str]] = {}
    for node in graph.nodes:
        before = frozenset(
            producer
            for tensor in graph.activations(node)
            if (made := graph.producer.get(tensor)) is not None
            for producer in ((ids[made.index],) if made.index in ids else reaches[made.index])
        )
        reaches[node.index] = before
        if node.index in ids:
            yield from ((producer, ids[node.index]) for producer in sorted(before))


def _op(graph: Graph, node: Node) -> LiteOp | None:
    """The op a node is, where it works on float tensors."""
    if len(node.outputs) != 1 or graph.tensors[node.outputs[0]].type != FLOAT32:
        return None
    weight = node.weight
    if weight is not None and (weight < 0 or not graph.tensors[weight].constant):
        weight = None
    if weight is None and node.type in WORKS and node.type != "BATCH_MATMUL":
        return None
    if weight is not None and graph.tensors[weight].type != FLOAT32:
        return None
    activations = tuple(i for i in graph.activations(node) if graph.tensors[i].type == FLOAT32)
    return LiteOp(node.name, node.type, node.index, weight, activations, node.outputs[0])


def _looks_up(graph: Graph, node: Node) -> bool:
    """Whether a node picks rows of a constant table: embeddings, as Keras has them."""
    return node.type in LOOKUPS and graph.tensors[node.inputs[0]].constant


def _normalizes(graph: Graph, node: Node) -> bool:
    """Whether a node computes the mean a normalization subtracts."""
    readers = graph.consumers.get(node.outputs[0], ())
    return node.type == "MEAN" and any(r.type in ("SQUARED_DIFFERENCE", "NEG", "SUB", "RSQRT") for r in readers)
