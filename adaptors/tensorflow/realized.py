"""What really runs, read from the graph a session executes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from autoq.adaptors.tensorflow.fusion import FusedOp, Fusion
from autoq.adaptors.tensorflow.graph import NodeDef, attribute
from autoq.adaptors.tensorflow.session import RunMetadata
from autoq.core.plan import Plan

_KERNEL = re.compile(r"_?(Mkl|MklNative)?_?(Fused)?Quantized\w+")
_CONVERSIONS = frozenset(
    {"QuantizeV2", "Dequantize", "Requantize", "RequantizePerChannel", "_MklQuantizeV2", "_MklDequantize"}
)


@dataclass(frozen=True, slots=True)
class ExecutedNode:
    """A node of the graph a session executes.

    Attributes:
        name: Its name.
        type: Its operator type.
        fused: What its kernel does beside, in order, e.g. ``("BiasAdd", "Sum", "Relu", "Requantize")``.
    """

    name: str
    type: str
    fused: tuple[str, ...] = ()

    @property
    def is_int8(self) -> bool:
        """Whether it computes on 8-bit values."""
        return _KERNEL.fullmatch(self.type) is not None

    @property
    def is_conversion(self) -> bool:
        """Whether it only brings a tensor from one form into another."""
        return self.type in _CONVERSIONS


def executed(metadata: RunMetadata) -> tuple[ExecutedNode, ...]:
    """The nodes of the partitions that ran, functions included."""
    found: list[ExecutedNode] = []
    for graph in metadata.partition_graphs:
        nodes = (*graph.node, *(node for function in graph.library.function for node in function.node_def))
        found += [ExecutedNode(node.name, node.op, _fused(node)) for node in nodes]
    return tuple(found)


def _fused(node: NodeDef) -> tuple[str, ...]:
    return tuple(part.decode() for part in attribute(node, "fused_ops").list.s)


class OwnerIndex:
    """Finds the op a node of an executed graph, or of a trace, came from.

    What is made for an op carries the name of one of its nodes, alone or followed by a slash and more.
    """

    def __init__(self, fusion: Fusion) -> None:
        self._owner = fusion.owner

    def find(self, name: str) -> FusedOp | None:
        """The op a node belongs to, or None."""
        while name:
            if name in self._owner:
                return self._owner[name]
            name = name.rpartition("/")[0]
        return None


def realized_plan(plan: Plan, fusion: Fusion, nodes: Sequence[ExecutedNode]) -> Plan:
    """`plan` without the ops for which no 8-bit kernel runs, or one that does not do their residual sum."""
    index = OwnerIndex(fusion)
    quantized = _owners(index, (node.name for node in nodes if node.is_int8))
    sums = _owners(index, (node.name for node in nodes if node.is_int8 and "Sum" in node.fused))
    summing = {op.id for op in fusion.ops if op.summand is not None}
    kept = {op: p for op, p in plan.precisions.items() if op in (sums if op in summing else quantized)}
    return Plan(kept, plan.recipes)


def _owners(index: OwnerIndex, names: Iterable[str]) -> set[str]:
    return {op.id for op in map(index.find, names) if op is not None}
