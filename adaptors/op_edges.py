"""Which op feeds which."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Step:
    """One node of a graph.

    Attributes:
        op: Id of the op it belongs to, or None where it belongs to none.
        reads: Tensors it reads.
        makes: Tensors it makes.
    """

    op: str | None
    reads: Sequence[str]
    makes: Sequence[str]


def op_edges(steps: Iterable[Step]) -> tuple[tuple[str, str], ...]:
    """``(producer, consumer)`` op ids, also through nodes that belong to no op; grows with nodes and edges.

    Args:
        steps: The nodes, in execution order.
    """
    sources: dict[str, dict[str, None]] = {}
    edges: dict[tuple[str, str], None] = {}
    for step in steps:
        feeding: dict[str, None] = {}
        for name in step.reads:
            feeding |= sources.get(name, {})
        if step.op is not None:
            edges |= {(f, step.op): None for f in feeding if f != step.op}
            feeding = {step.op: None}
        for name in step.makes:
            sources[name] = feeding
    return tuple(edges)
