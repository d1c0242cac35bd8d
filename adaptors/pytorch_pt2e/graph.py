"""From an exported program to the float graph that every trial starts from.

Batch norms are folded into the convolution or linear before them, dropout is gone, and activation functions do not
write into their operand: what is left is what the compiler sees, so an op here is an op there.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, fx
from torch.nn.utils.fusion import fuse_conv_bn_weights, fuse_linear_bn_weights

aten = torch.ops.aten

CONVOLUTIONS = (aten.conv1d.default, aten.conv2d.default, aten.conv_transpose1d.default, aten.conv_transpose2d.input)
WEIGHTED = frozenset({aten.conv1d.default, aten.conv2d.default, aten.linear.default})
"""Calls whose weight is quantized."""

_TRANSPOSED = (aten.conv_transpose1d.default, aten.conv_transpose2d.input)

WEIGHT = "autoq_weight"
"""Key in a node's meta: what its weight was called before anything was folded into it."""

_OUT_OF_PLACE: Mapping[object, Callable[..., Tensor]] = {
    aten.relu_.default: aten.relu.default,
    aten.relu6_.default: aten.relu6.default,
    aten.hardtanh_.default: aten.hardtanh.default,
    aten.hardswish_.default: aten.hardswish.default,
    aten.silu_.default: aten.silu.default,
    aten.leaky_relu_.default: aten.leaky_relu.default,
    aten.add_.Tensor: aten.add.Tensor,
}

# Results of these own their memory: writing into one changes no other tensor.
_FRESH = frozenset(
    {
        *CONVOLUTIONS,
        aten.linear.default,
        aten.batch_norm.default,
        aten.add.Tensor,
        aten.relu.default,
        aten.mul.Tensor,
        aten.cat.default,
        aten.layer_norm.default,
        *_OUT_OF_PLACE.values(),
    }
)


def normalized(graph_module: fx.GraphModule) -> fx.GraphModule:
    """The float graph; `graph_module` is left alone, and tensors that are not folded are shared with it."""
    result = shared_copy(graph_module)
    for node in list(result.graph.nodes):
        if node.op == "call_module" and not node.users:
            result.graph.erase_node(node)  # checks of input shapes, which an exported program carries
        elif node.target is aten.dropout.default or node.target is aten.dropout_.default:
            if node.args[2] is False:
                node.replace_all_uses_with(node.args[0])
                result.graph.erase_node(node)
        elif node.target in _OUT_OF_PLACE:
            _write_elsewhere(node)
    for node in result.graph.nodes:
        if len(node.args) > 1 and isinstance(node.args[1], fx.Node) and node.args[1].op == "get_attr":
            node.meta[WEIGHT] = str(node.args[1].target)
    _separate_weights(result)
    for node in list(result.graph.nodes):
        if node.target is aten.batch_norm.default and node.args[5] is False:
            _fold(result, node)
    result.graph.eliminate_dead_code()
    result.delete_all_unused_submodules()
    result.recompile()
    return shared_copy(result)  # without the tensors that nothing reads any more


def shared_copy(graph_module: fx.GraphModule) -> fx.GraphModule:
    """A graph of its own over the same tensors."""
    with warnings.catch_warnings():
        # Copying the form of inputs and outputs warns of the framework's own classes.
        warnings.filterwarnings("ignore", message=".*LeafSpec")
        result = fx.GraphModule(graph_module, copy.deepcopy(graph_module.graph))
    result.meta.update(graph_module.meta)
    return result


def tensor_of(graph_module: fx.GraphModule, node: object) -> Tensor | None:
    """The tensor of a get_attr node."""
    if not isinstance(node, fx.Node) or node.op != "get_attr":
        return None
    value: object = graph_module
    for part in str(node.target).split("."):
        value = getattr(value, part)
    return value if isinstance(value, Tensor) else None


def value_of(node: object) -> Tensor | None:
    """The fake tensor that a node gives: its dtype and shape."""
    value = node.meta.get("val") if isinstance(node, fx.Node) else None
    return value if isinstance(value, Tensor) else None


def _separate_weights(graph_module: fx.GraphModule) -> None:
    """Every call reads a weight of its own name, as the compiler finds no 8-bit kernel for a weight read twice.

    The tensor stays shared for as long as it is float.
    """
    for node in list(graph_module.graph.nodes):
        weight = node.args[1] if node.target in WEIGHTED else None
        tensor = tensor_of(graph_module, weight)
        if tensor is None or not isinstance(weight, fx.Node) or len(weight.users) == 1:
            continue
        with graph_module.graph.inserting_before(node):
            own = attribute(graph_module, f"{node.name}_shared", tensor, like=weight)
        node.args = (node.args[0], own, *node.args[2:])


def _write_elsewhere(node: fx.Node) -> None:
    """An activation function in place becomes one that is not, where nobody else can see the difference."""
    written = node.args[0]
    if not isinstance(written, fx.Node) or written.target not in _FRESH:
        return
    others = [user for user in written.users if user is not node]
    if any(_aliases(user) for user in others):
        return  # a view made earlier sees what is written
    node.target = _OUT_OF_PLACE[node.target]
    for user in others:
        if node < user:
            user.replace_input_with(written, node)


def _aliases(node: fx.Node) -> bool:
    schema = getattr(node.target, "_schema", None)
    return schema is None or any(result.alias_info is not None for result in schema.returns)


def _fold(graph_module: fx.GraphModule, norm: fx.Node) -> None:
    source = norm.args[0]
    mean, variance = (tensor_of(graph_module, norm.args[i]) for i in (3, 4))
    if not isinstance(source, fx.Node) or mean is None or variance is None:
        return
    scale, shift = (tensor_of(graph_module, norm.args[i]) for i in (1, 2))
    scale = torch.ones_like(mean) if scale is None else scale
    shift = torch.zeros_like(mean) if shift is None else shift
    epsilon = norm.args[7]
    weight = tensor_of(graph_module, source.args[1]) if len(source.args) > 1 else None
    value = value_of(source)
    foldable = source.target in CONVOLUTIONS or (
        # On more axes a linear works on the last one, and a batch norm on the second.
        source.target is aten.linear.default and value is not None and value.dim() == 2
    )
    if not foldable or weight is None or len(source.users) != 1 or _grouped_transposed(source):
        _as_arithmetic(graph_module, norm, (mean, variance, scale, shift, float(epsilon)))
        return
    bias = tensor_of(graph_module, source.args[2]) if len(source.args) > 2 else None
    if source.target is aten.linear.default:
        folded = fuse_linear_bn_weights(weight, bias, mean, variance, epsilon, scale, shift)
    else:
        transposed = source.target in _TRANSPOSED
        folded = fuse_conv_bn_weights(weight, bias, mean, variance, epsilon, scale, shift, transposed)
    with graph_module.graph.inserting_before(source):
        nodes = [
            attribute(graph_module, f"{norm.name}_{role}", tensor, like=source.args[1])
            for role, tensor in zip(("weight", "bias"), folded, strict=True)
        ]
    source.args = (source.args[0], *nodes, *source.args[3:])
    norm.replace_all_uses_with(source)
    graph_module.graph.erase_node(norm)


def attribute(graph_module: fx.GraphModule, name: str, tensor: Tensor, like: object = None) -> fx.Node:
    """A get_attr node of a new tensor, at the current insertion point."""
    full = f"own_{name}"
    graph_module.register_buffer(full, tensor.detach())
    node = graph_module.graph.get_attr(full)
    fake = value_of(like)
    mode = getattr(fake, "fake_mode", None)
    node.meta["val"] = mode.from_tensor(tensor, static_shapes=True) if mode is not None else tensor
    return node


def _grouped_transposed(node: fx.Node) -> bool:
    """A transposed convolution with groups keeps its output channels apart: a scale per channel does not fit them."""
    return node.target in _TRANSPOSED and len(node.args) > 6 and node.args[6] != 1


def _as_arithmetic(
    graph_module: fx.GraphModule, norm: fx.Node, numbers: tuple[Tensor, Tensor, Tensor, Tensor, float]
) -> None:
    """A batch norm that cannot be folded as product and sum, so that no later step folds it all the same."""
    mean, variance, scale, shift, epsilon = numbers
    value = value_of(norm)
    if value is None:
        return
    factor = scale.detach() * torch.rsqrt(variance + epsilon)
    offset = shift.detach() - mean * factor
    shape = (-1, *([1] * (value.dim() - 2)))
    graph = graph_module.graph
    with graph.inserting_before(norm):
        left = attribute(graph_module, f"{norm.name}_factor", factor.reshape(shape), like=norm)
        right = attribute(graph_module, f"{norm.name}_offset", offset.reshape(shape), like=norm)
        product = graph.call_function(aten.mul.Tensor, (norm.args[0], left))
        total = graph.call_function(aten.add.Tensor, (product, right))
    for node in (product, total):
        node.meta.update(norm.meta)
    norm.replace_all_uses_with(total)
    graph.erase_node(norm)
