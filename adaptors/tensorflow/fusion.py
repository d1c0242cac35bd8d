"""Which nodes of a graph make one quantizable op: what oneDNN runs as one 8-bit kernel is one op."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from autoq.adaptors.tensorflow.graph import Graph


@dataclass(frozen=True)
class FusedOp:
    """One quantizable op and the nodes it is made of.

    Attributes:
        id: Name of the anchor, the node that does the work.
        type: Operator type of the anchor, e.g. ``Conv2D``.
        members: Names of all its nodes, the anchor first, in execution order.
        operands: Tensors it reads quantized; for a residual sum, not the summand.
        weight: Tensor of its constant weight, or None.
        bias: Tensor of its constant bias, or None.
        summand: The other operand of a residual sum that its kernel does, or None.
        activation: Type of the node that ends it, e.g. ``Relu6``; empty without one.
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
