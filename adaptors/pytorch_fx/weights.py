"""The weights of an op that quantization rounds, wherever the graph keeps them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor
from torch.fx import Node

from autoq.adaptors.pytorch_fx.graph import FxGraph, FxOp, Member
from autoq.adaptors.pytorch_fx.kinds import RECURRENT, WEIGHTED

_HELD = WEIGHTED | RECURRENT | {"Embedding", "EmbeddingBag"}


@dataclass(frozen=True, eq=False)
class Weight:
    """One weight of one call.

    Attributes:
        node: Name of the node that calls its module, or of the get_attr node that hands it out.
        parameter: Its name inside the module that is called; None for a get_attr node.
        target: Its path in the graph module.
        tensor: Its values.
    """

    node: str
    parameter: str | None
    target: str
    tensor: Tensor


def weights_of(graph: FxGraph, op: FxOp, member: Member) -> Iterator[Weight]:
    """The weights of one call, without biases; of an op that has some."""
    if op.type not in _HELD:
        return
    node = next(n for n in graph.fused.graph.nodes if n.name == member.root)
    if node.op == "call_module":
        for name, tensor in graph.fused.get_submodule(str(node.target)).named_parameters():
            if name.rpartition(".")[2].startswith("weight"):
                yield Weight(node.name, name, f"{node.target}.{name}", tensor)
    elif len(node.args) > 1 and isinstance(held := node.args[1], Node) and held.op == "get_attr":
        path, _, name = str(held.target).rpartition(".")
        yield Weight(held.name, None, str(held.target), getattr(graph.fused.get_submodule(path), name))
