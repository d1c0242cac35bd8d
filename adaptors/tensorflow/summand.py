"""Who else reads the summand of a residual sum: the kernel adds in place, and ends the process where it cannot."""

from __future__ import annotations

from autoq.adaptors.tensorflow.fusion import FusedOp, Fusion
from autoq.adaptors.tensorflow.graph import Graph, NodeDef, data_inputs, node_name
from autoq.adaptors.tensorflow.moves import moved


def is_last_reader(fusion: Fusion, op: FusedOp) -> bool:
    """Whether all that reads the summand of an op has done so when its kernel runs, in any order of execution.

    That is so when every other reader, also of what shares its memory, comes before what the kernel itself reads, and
    the kernel does not read it as its operand, too.
    """
    assert op.summand is not None
    graph = fusion.graph
    producer = graph.producer(op.summand)
    if _shares(fusion, producer):
        return False
    before = _ancestors(graph, op, graph.position[producer.name])
    pending = [op.summand]
    while pending:
        tensor = pending.pop()
        if tensor in graph.outputs or tensor in op.operands:
            return False
        for node in graph.consumers.get(tensor, ()):
            if node.name in op.members:
                continue
            if node.name not in before:
                return False
            if _shares(fusion, node):
                pending.append(f"{node.name}:0")
    return True


def _shares(fusion: Fusion, node: NodeDef) -> bool:
    """Whether a node may leave its result in the memory of what it reads, as those that only move values do."""
    return node.name not in fusion.owner and bool(moved(fusion.graph, node))


def _ancestors(graph: Graph, op: FusedOp, first: int) -> set[str]:
    """Nodes that run before an op's kernel, as far back as position `first`."""
    found: set[str] = set()
    pending = [node_name(name) for name in op.operands]
    while pending:
        name = pending.pop()
        if name not in found and graph.position[name] >= first:
            found.add(name)
            pending.extend(node_name(tensor) for tensor in data_inputs(graph.by_name[name]))
    return found
