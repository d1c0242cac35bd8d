"""A captured graph whose convolutions, linear layers, embeddings, norms and activations are modules again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node

_aten = torch.ops.aten


def with_modules(graph: GraphModule) -> GraphModule:
    """Put modules in the place of calls, under the paths they had when the graph was captured.

    Args:
        graph: What a `torch.export` program unlifts to; is changed.
    """
    made: dict[tuple[Any, ...], str] = {}
    for node in list(graph.graph.nodes):
        maker = _MAKERS.get(node.target) if node.op == "call_function" else None
        if maker is None or not all(_is_constant(a) for a in node.all_input_nodes[1:] if a is not _input(node)):
            continue
        arguments = _arguments(node)
        leaf = maker(graph, node, arguments)
        if leaf is None:
            continue
        key = (
            node.target,
            *(a.target if isinstance(a, Node) else str(a) for a in arguments.values() if a is not _input(node)),
        )
        weight = arguments.get("weight")
        if weight is None or key not in made:
            path = _free_path(graph, node, weight, set(made.values()))
            graph.add_submodule(path, leaf)
            made[key if weight is not None else (path,)] = path
        else:
            path = made[key]
        with graph.graph.inserting_before(node):
            call = graph.graph.call_module(path, (_input(node),))
        call.meta = dict(node.meta)
        node.replace_all_uses_with(call)
        graph.graph.erase_node(node)
    graph.graph.eliminate_dead_code()
    graph.recompile()
    return graph


def _input(node: Node) -> Node:
    """The tensor a module would be called with: everything else belongs to the module."""
    name = "indices" if node.target is _aten.embedding.default else next(iter(_arguments(node)))
    found: Node = _arguments(node)[name]
    return found


def _arguments(node: Node) -> dict[str, Any]:
    """Arguments by name, defaults filled in."""
    schema = node.target._schema.arguments
    values = {a.name: a.default_value for a in schema if a.has_default_value()}
    values.update({a.name: value for a, value in zip(schema, node.args, strict=False)})
    values.update(node.kwargs)
    return {a.name: values[a.name] for a in schema}


def _is_constant(node: Node) -> bool:
    return str(node.op) == "get_attr"


def _tensor(graph: GraphModule, node: Any) -> Tensor | None:
    if node is None:
        return None
    value: Any = graph
    for part in str(node.target).split("."):
        value = getattr(value, part)
    return value


def _free_path(graph: GraphModule, node: Node, weight: Any, taken: set[str]) -> str:
    """The path of the module the call came from; else of its weight; else the node's name."""
    stack = list(node.meta.get("nn_module_stack", {}).values())
    traced = str(stack[-1][0]) if stack else ""
    owner = str(weight.target).rpartition(".")[0] if isinstance(weight, Node) else ""
    for path in (traced, owner):
        if path and path not in taken and not _has_children(graph, path):
            return path
    return str(node.name)


def _has_children(graph: GraphModule, path: str) -> bool:
    try:
        return any(True for _ in graph.get_submodule(path).children())
    except AttributeError:
        return False


def _assign(leaf: Any, weight: Tensor | None, bias: Tensor | None) -> nn.Module:
    leaf.weight = nn.Parameter(weight.detach(), requires_grad=False) if weight is not None else None
    leaf.bias = nn.Parameter(bias.detach(), requires_grad=False) if bias is not None else None
    return leaf.eval()


def _linear(graph: GraphModule, _: Node, a: Mapping[str, Any]) -> nn.Module:
    weight, bias = _tensor(graph, a["weight"]), _tensor(graph, a["bias"])
    assert weight is not None
    return _assign(nn.Linear(weight.shape[1], weight.shape[0], bias is not None, device="meta"), weight, bias)


def _convolution(graph: GraphModule, _: Node, a: Mapping[str, Any]) -> nn.Module | None:
    weight, bias = _tensor(graph, a["weight"]), _tensor(graph, a["bias"])
    assert weight is not None
    rank, transposed = weight.ndim - 2, bool(a.get("transposed", "output_padding" in a))
    groups = a["groups"]
    settings: dict[str, Any] = {
        "kernel_size": tuple(weight.shape[2:]),
        "stride": _per_axis(a["stride"], rank),
        "padding": a["padding"] if isinstance(a["padding"], str) else _per_axis(a["padding"], rank),
        "dilation": _per_axis(a["dilation"], rank),
        "groups": groups,
        "bias": bias is not None,
        "device": "meta",
    }
    if transposed:
        kind: Any = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)[rank - 1]
        settings["output_padding"] = _per_axis(a["output_padding"], rank)
        leaf = kind(weight.shape[0], weight.shape[1] * groups, **settings)
    else:
        kind = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[rank - 1]
        leaf = kind(weight.shape[1] * groups, weight.shape[0], **settings)
    return _assign(leaf, weight, bias)


def _per_axis(value: Sequence[int] | int, rank: int) -> tuple[int, ...]:
    values = [value] if isinstance(value, int) else list(value)
    return tuple(int(v) for v in (values * rank if len(values) == 1 else values))


def _embedding(graph: GraphModule, _: Node, a: Mapping[str, Any]) -> nn.Module:
    weight = _tensor(graph, a["weight"])
    assert weight is not None
    leaf = nn.Embedding(weight.shape[0], weight.shape[1], device="meta")
    leaf.weight = nn.Parameter(weight.detach(), requires_grad=False)
    return leaf.eval()


def _batch_norm(graph: GraphModule, node: Node, a: Mapping[str, Any]) -> nn.Module | None:
    mean, variance = _tensor(graph, a["running_mean"]), _tensor(graph, a["running_var"])
    value = node.meta.get("val")
    if a["training"] or mean is None or variance is None or not isinstance(value, Tensor):
        return None
    kind = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}.get(value.ndim)
    if kind is None:
        return None
    leaf: Any = kind(mean.numel(), eps=a["eps"], affine=a["weight"] is not None)
    leaf.running_mean, leaf.running_var = mean.detach().clone(), variance.detach().clone()
    return _assign(leaf, _tensor(graph, a["weight"]), _tensor(graph, a["bias"]))


def _hardtanh(_: GraphModule, __: Node, a: Mapping[str, Any]) -> nn.Module | None:
    return nn.ReLU6() if (a["min_val"], a["max_val"]) == (0, 6) else None


_Maker = Callable[[GraphModule, Node, Mapping[str, Any]], nn.Module | None]

_MAKERS: Mapping[Any, _Maker] = {
    _aten.linear.default: _linear,
    _aten.conv1d.default: _convolution,
    _aten.conv1d.padding: _convolution,
    _aten.conv2d.default: _convolution,
    _aten.conv2d.padding: _convolution,
    _aten.conv3d.default: _convolution,
    _aten.conv3d.padding: _convolution,
    _aten.conv_transpose1d.default: _convolution,
    _aten.conv_transpose2d.input: _convolution,
    _aten.conv_transpose3d.input: _convolution,
    _aten.convolution.default: _convolution,
    _aten.embedding.default: _embedding,
    _aten.batch_norm.default: _batch_norm,
    _aten.hardtanh.default: _hardtanh,
    _aten.hardtanh_.default: _hardtanh,
}
