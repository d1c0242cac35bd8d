"""The quantizable ops of a float graph: which nodes make one op, what it is called, and who feeds whom."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import fx

from autoq.adaptors.pytorch_pt2e.export import PREFIX
from autoq.adaptors.pytorch_pt2e.graph import WEIGHT, tensor_of, value_of

aten = torch.ops.aten

_ANCHORS: Mapping[object, str] = {
    aten.conv2d.default: "Conv2d",
    aten.conv1d.default: "Conv1d",
    aten.linear.default: "Linear",
    aten.conv_transpose2d.input: "ConvTranspose2d",
    aten.conv_transpose1d.default: "ConvTranspose1d",
    aten.conv3d.default: "Conv3d",
    aten.conv2d.padding: "Conv2d",
    aten.conv1d.padding: "Conv1d",
    aten.lstm.input: "LSTM",
    aten.gru.input: "GRU",
    aten.cat.default: "Concat",
    aten.avg_pool2d.default: "AvgPool2d",
    aten.adaptive_avg_pool2d.default: "AdaptiveAvgPool2d",
}

_WEIGHTED = frozenset({"Conv2d", "Conv1d", "Linear"})

# What the compiler runs inside the kernel of the op before it.
_UNARY: Mapping[str, frozenset[object]] = {
    "Conv2d": frozenset(
        {aten.relu.default, aten.relu6.default, aten.hardtanh.default, aten.hardswish.default, aten.silu.default}
    ),
    "Conv1d": frozenset({aten.relu.default}),
    "Linear": frozenset({aten.relu.default, aten.leaky_relu.default, aten.tanh.default, aten.gelu.default}),
}
_ADDS = (aten.add.Tensor,)

PASSING = frozenset({aten.max_pool2d.default, aten.flatten.using_ints})
"""Ops that keep the grid of what they read: they run in 8 bits when what they read is, and lose nothing."""


@dataclass(frozen=True, eq=False)
class GraphOp:
    """One op.

    Attributes:
        id: Path of its module.
        type: Kind, e.g. ``Conv2d``.
        node: The node that does the work.
        members: Names of all nodes it is made of, in execution order.
        output: Name of the last of them.
        operands: Names of the nodes whose values it reads quantized, in order: its input; what a fused sum adds.
        added: The fused sum, and which of its operands comes from elsewhere.
        weight: Target of the weight; None for an op without one.
        reason: Why it cannot be quantized; empty when it can.
    """

    id: str
    type: str
    node: str
    members: tuple[str, ...]
    output: str
    operands: tuple[str, ...]
    added: tuple[str, str] | None
    weight: str | None
    reason: str = ""


@dataclass(frozen=True, eq=False)
class Ops:
    """All ops of a graph in execution order.

    Attributes:
        ops: The ops.
        by_id: By id.
        owner: Op id by node name.
        edges: ``(producer, consumer)``, also through nodes that belong to no op.
        order: Names of all nodes in execution order.
        sources: For each node that only passes values on (`PASSING`), the node whose values they are.
    """

    ops: tuple[GraphOp, ...]
    by_id: Mapping[str, GraphOp]
    owner: Mapping[str, str]
    edges: tuple[tuple[str, str], ...]
    order: tuple[str, ...]
    sources: Mapping[str, str]

    def source(self, name: str) -> str | None:
        """The op whose value a node passes on with its grid, itself included; None when there is none."""
        return self.owner.get(self.sources.get(name, name))

    def observed(self, quantized: Sequence[GraphOp]) -> tuple[str, ...]:
        """Names of all tensors that a plan over these ops may give a grid, in execution order."""
        read = {name for op in quantized for name in op.operands}
        read |= {op.output for op in quantized if op.weight is None}
        read |= set(self.sources)
        read |= {self.sources[name] for name in self.sources}
        return tuple(name for name in self.order if name in read)


def find_ops(graph_module: fx.GraphModule) -> Ops:
    """The ops of a normalized graph."""
    nodes = list(graph_module.graph.nodes)
    position = {node: i for i, node in enumerate(nodes)}
    taken: set[fx.Node] = set()
    chains: dict[fx.Node, tuple[list[fx.Node], tuple[fx.Node, fx.Node] | None]] = {}
    # The last convolution before a sum takes it in: what it adds is known by then.
    for node in reversed(nodes):
        kind = _ANCHORS.get(node.target) if node.op == "call_function" else None
        if kind in _WEIGHTED and node not in taken:
            chains[node] = _chain(node, kind, taken, position)
            taken.update(chains[node][0])
    ops, count = [], dict[str, int]()
    for node in nodes:
        kind = _ANCHORS.get(node.target) if node.op == "call_function" else None
        if kind is None or not _is_float(node):
            continue
        path = module_path(node)
        count[path] = count.get(path, 0) + 1
        name = path if count[path] == 1 else f"{path}@{count[path] - 1}"
        members, added = chains.get(node, ([node], None))
        ops.append(_op(graph_module, name, kind, node, members, added))
    owner = {member: op.id for op in ops for member in op.members}
    return Ops(
        tuple(ops),
        {op.id: op for op in ops},
        owner,
        tuple(_edges(nodes, owner)),
        tuple(node.name for node in nodes),
        _sources(nodes),
    )


def module_path(node: fx.Node) -> str:
    """Path of the module a node comes from; a function called inside a module adds the node's own name."""
    weight = str(node.meta.get(WEIGHT, "")).removeprefix(PREFIX)
    if weight.endswith(".weight"):
        return weight.removesuffix(".weight")
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    path, cls = stack[-1] if stack else ("", "")
    path = "" if f"{path}." == PREFIX else str(path).removeprefix(PREFIX)
    kind = cls if isinstance(cls, str) else f"{cls.__module__}.{cls.__qualname__}"
    if path and kind.startswith("torch.nn.modules.") and not kind.startswith("torch.nn.modules.container."):
        return path
    return f"{path}.{node.name}" if path else node.name


def _sources(nodes: list[fx.Node]) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for node in nodes:
        if node.target in PASSING and isinstance(node.args[0], fx.Node) and _is_float(node):
            found[node.name] = found.get(node.args[0].name, node.args[0].name)
    return found


def _op(
    graph_module: fx.GraphModule,
    name: str,
    kind: str,
    node: fx.Node,
    members: list[fx.Node],
    added: tuple[fx.Node, fx.Node] | None,
) -> GraphOp:
    weight = node.args[1] if kind in _WEIGHTED else None
    operands = list(_tensor_inputs(node, kind))
    if added is not None and kind != "Linear":
        # The sum of a linear stays in float: 8 bits there cost accuracy, and save nothing.
        operands.append(added[1])
    return GraphOp(
        name,
        kind,
        node.name,
        tuple(n.name for n in members),
        members[-1].name,
        tuple(n.name for n in operands),
        (added[0].name, added[1].name) if added is not None and kind != "Linear" else None,
        str(weight.target) if isinstance(weight, fx.Node) else None,
        _why_not(graph_module, kind, node),
    )


def _tensor_inputs(node: fx.Node, kind: str) -> Iterator[fx.Node]:
    first = node.args[0]
    if kind == "Concat" and isinstance(first, list | tuple):
        yield from dict.fromkeys(n for n in first if isinstance(n, fx.Node))
    elif isinstance(first, fx.Node):
        yield first


def _why_not(graph_module: fx.GraphModule, kind: str, node: fx.Node) -> str:
    if kind not in _WEIGHTED:
        return ""
    if node.target in (aten.conv2d.padding, aten.conv1d.padding):
        return "padding='same' has no int8 kernel: give the padding in pixels"
    weight, value = tensor_of(graph_module, node.args[1]), value_of(node.args[0])
    if weight is None:
        return "its weight is computed"
    if value is None or value.dtype != torch.float32 or weight.dtype != torch.float32:
        return "it does not work in float32"
    if kind == "Conv2d" and value.dim() != 4:
        return "an input without a batch axis"
    if kind != "Linear" and weight.shape[1] == 1 and value.shape[1 - weight.dim()] == 1:
        # One channel is laid out the same first and last: the kernel and what reads its result take it differently.
        return "compiled, a convolution of a single channel gives wrong results in 8 bits (torch 2.13)"
    return ""


def _chain(
    node: fx.Node, kind: str, taken: set[fx.Node], position: Mapping[fx.Node, int]
) -> tuple[list[fx.Node], tuple[fx.Node, fx.Node] | None]:
    """The op's nodes: itself, a sum, an activation function."""
    chain, added = [node], None
    user = _only_user(node)
    if user is not None and kind != "Conv1d" and user not in taken and user.target in _ADDS:
        other = _other_summand(user, node)
        if other is not None and position[other] < position[node]:
            chain.append(user)
            added = (user, other)
            user = _only_user(user)
            if user is not None and user.target is aten.relu.default and user not in taken:
                chain.append(user)
            return chain, added
    if user is not None and user.target in _UNARY[kind] and user not in taken:
        chain.append(user)
    return chain, added


def _only_user(node: fx.Node) -> fx.Node | None:
    return next(iter(node.users)) if len(node.users) == 1 else None


def _other_summand(add: fx.Node, node: fx.Node) -> fx.Node | None:
    if len(add.args) != 2 or add.kwargs.get("alpha", 1) != 1:
        return None
    left, right = add.args
    other = right if left is node else left
    if not isinstance(other, fx.Node) or other is node or other.op == "get_attr":
        return None
    mine, its = value_of(node), value_of(other)
    if mine is None or its is None or mine.dtype != its.dtype or tuple(mine.shape) != tuple(its.shape):
        return None
    return other


def _is_float(node: fx.Node) -> bool:
    value = node.meta.get("val")
    first = value[0] if isinstance(value, tuple | list) else value
    return isinstance(first, torch.Tensor) and first.dtype == torch.float32


def _edges(nodes: list[fx.Node], owner: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    reached: dict[fx.Node, frozenset[str]] = {}
    found: dict[tuple[str, str], None] = {}
    for node in nodes:
        sources = frozenset[str]().union(*(reached.get(n, frozenset()) for n in node.all_input_nodes))
        own = owner.get(node.name)
        if own is None:
            reached[node] = sources
            continue
        for source in sorted(sources - {own}):
            found[source, own] = None
        reached[node] = frozenset({own})
    order = {name: i for i, name in enumerate(dict.fromkeys(owner.values()))}
    yield from sorted(found, key=lambda e: (order[e[0]], order[e[1]]))
