"""Which nodes of a graph make one quantizable op: what oneDNN runs as one 8-bit kernel is one op."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from autoq.adaptors.op_edges import Step, op_edges
from autoq.adaptors.tensorflow.graph import Graph, NodeDef, data_inputs, node_name
from autoq.adaptors.tensorflow.patterns import Tail, padding_before, tail_of


@dataclass(frozen=True)
class FusedOp:
    """One quantizable op and the nodes it is made of.

    Attributes:
        id: Name of the anchor, the node that does the work.
        type: Operator type of the anchor, e.g. ``Conv2D``.
        members: Names of all its nodes: the anchor, the Pad that a convolution does as well, and what follows in
            execution order.
        operands: Tensors it reads quantized; for a residual sum, not the summand.
        weight: Tensor of its constant weight, or None.
        bias: Tensor of its constant bias, or None.
        summand: The other operand of a residual sum that its kernel does, or None.
        activation: Type of the activation that ends it: ``Relu``, ``Relu6``, ``Tanh``, ``Sigmoid``, ``GeluExact`` or
            ``GeluApproximate``; empty without one.
        output: The tensor it leaves behind.
    """

    id: str
    type: str
    members: tuple[str, ...]
    operands: tuple[str, ...]
    weight: str | None
    bias: str | None
    summand: str | None
    activation: str
    output: str

    @property
    def reads(self) -> tuple[str, ...]:
        """What it reads quantized, the summand of a residual sum included."""
        return self.operands if self.summand is None else (*self.operands, self.summand)

    @property
    def last(self) -> str:
        """Name of the node that makes its output."""
        return self.output.partition(":")[0]


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
    def by_id(self) -> Mapping[str, FusedOp]:
        """Op by id."""
        return {op.id: op for op in self.ops}

    @cached_property
    def owner(self) -> Mapping[str, FusedOp]:
        """Op by the name of any of its nodes."""
        return {name: op for op in self.ops for name in op.members}

    @cached_property
    def edges(self) -> tuple[tuple[str, str], ...]:
        """Which op feeds which, also through ops that cannot be quantized."""
        owner = self.owner
        steps = (
            Step(
                owner[node.name].id if node.name in owner else None,
                [node_name(t) for t in data_inputs(node)],
                [node.name],
            )
            for node in self.graph.nodes
        )
        return op_edges(steps)


# Ops with an 8-bit kernel for a constant second input; those without a kernel at all are listed with the reason.
_WEIGHTED = frozenset({"Conv2D", "DepthwiseConv2dNative", "MatMul"})
_PRODUCTS = frozenset({"MatMul", "BatchMatMulV2"})
_POOLS = frozenset({"MaxPool", "AvgPool"})


def find_ops(graph: Graph) -> Fusion:
    """All ops of a graph that an 8-bit kernel exists for, or could be expected of; in execution order.

    Args:
        graph: A folded graph: BatchNorm lies in the weights, biases are `BiasAdd` nodes.
    """
    taken: set[str] = set()
    ops: list[FusedOp] = []
    # Backwards: a sum of two convolutions belongs to the later one, which runs when the other is done.
    for node in reversed(graph.nodes):
        op = _op(graph, node, taken) if node.name not in taken else None
        if op is not None:
            taken.update(op.members)
            ops.append(op)
    ops.sort(key=lambda op: graph.position[op.last])
    return Fusion(graph, ops)


def _op(graph: Graph, node: NodeDef, taken: Container[str]) -> FusedOp | None:
    inputs, output = data_inputs(node), f"{node.name}:0"
    if not inputs or graph.dtype(output) != "float32":
        return None
    weight: str | None = None
    operands: tuple[str, ...] = (inputs[0],)
    tail, head = Tail(None, None, "", (), output), None
    if node.op in _WEIGHTED or node.op in _PRODUCTS:
        if graph.constant(inputs[0]) is not None:
            return None
        weight = inputs[1] if graph.constant(inputs[1]) is not None else None
        operands = (inputs[0],) if weight is not None else (inputs[0], inputs[1])
        if weight is not None and node.op in _WEIGHTED:
            tail = tail_of(graph, node, taken)
            head = padding_before(graph, node, taken)
    elif node.op in _POOLS:
        pass
    elif node.op == "Mean":
        axes = graph.constant(inputs[1])
        shape = graph.shape(inputs[0])
        if axes is None or shape is None or len(shape) != 4:
            return None
        if sorted(int(a) % 4 for a in axes.reshape(-1)) != [1, 2]:
            return None
    else:
        return None
    if head is not None:
        operands = (data_inputs(head)[0],)
    after = sorted(tail.members, key=graph.position.__getitem__)
    members = (node.name, *([head.name] if head is not None else []), *after)
    return FusedOp(node.name, node.op, members, operands, weight, tail.bias, tail.summand, tail.activation, tail.output)
