"""Which nodes of a float graph are ops, and of which type; one name per type in all PyTorch routes."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.ao.nn.intrinsic as fused
from torch import nn
from torch.fx import GraphModule, Node
from torch.nn import functional

MODULES: Mapping[type[nn.Module], str] = {
    nn.Conv1d: "Conv1d",
    nn.Conv2d: "Conv2d",
    nn.Conv3d: "Conv3d",
    nn.ConvTranspose1d: "ConvTranspose1d",
    nn.ConvTranspose2d: "ConvTranspose2d",
    nn.ConvTranspose3d: "ConvTranspose3d",
    nn.Linear: "Linear",
    fused.ConvReLU1d: "Conv1d",
    fused.ConvReLU2d: "Conv2d",
    fused.ConvReLU3d: "Conv3d",
    fused.LinearReLU: "Linear",
    fused.BNReLU2d: "BatchNorm2d",
    fused.BNReLU3d: "BatchNorm3d",
    nn.LSTM: "LSTM",
    nn.GRU: "GRU",
    nn.LSTMCell: "LSTMCell",
    nn.GRUCell: "GRUCell",
    nn.Embedding: "Embedding",
    nn.EmbeddingBag: "EmbeddingBag",
    nn.BatchNorm2d: "BatchNorm2d",
    nn.BatchNorm3d: "BatchNorm3d",
    nn.LayerNorm: "LayerNorm",
    nn.GroupNorm: "GroupNorm",
    nn.InstanceNorm1d: "InstanceNorm1d",
    nn.InstanceNorm2d: "InstanceNorm2d",
    nn.InstanceNorm3d: "InstanceNorm3d",
    nn.Hardswish: "Hardswish",
    nn.LeakyReLU: "LeakyReLU",
    nn.ELU: "ELU",
    nn.PReLU: "PReLU",
    nn.Sigmoid: "Sigmoid",
    nn.Hardsigmoid: "Hardsigmoid",
    nn.Tanh: "Tanh",
    nn.Softmax: "Softmax",
    nn.MultiheadAttention: "MultiheadAttention",
}
"""Type of an op by its module, fused or not."""

FUNCTIONS: Mapping[Callable[..., Any], str] = {
    operator.add: "Add",
    torch.add: "Add",
    operator.mul: "Mul",
    torch.mul: "Mul",
    torch.matmul: "MatMul",
    operator.matmul: "MatMul",
    torch.bmm: "MatMul",
    torch.cat: "Concat",
    functional.linear: "Linear",
    functional.conv1d: "Conv1d",
    functional.conv2d: "Conv2d",
    functional.conv3d: "Conv3d",
    functional.conv_transpose1d: "ConvTranspose1d",
    functional.conv_transpose2d: "ConvTranspose2d",
    functional.conv_transpose3d: "ConvTranspose3d",
    functional.embedding: "Embedding",
    functional.layer_norm: "LayerNorm",
    functional.group_norm: "GroupNorm",
    functional.instance_norm: "InstanceNorm2d",
    functional.hardswish: "Hardswish",
    functional.leaky_relu: "LeakyReLU",
    functional.elu: "ELU",
    functional.softmax: "Softmax",
    functional.scaled_dot_product_attention: "ScaledDotProductAttention",
    functional.hardsigmoid: "Hardsigmoid",
    torch.sigmoid: "Sigmoid",
    torch.tanh: "Tanh",
    torch.softmax: "Softmax",
}
"""Type of an op by its function."""

METHODS: Mapping[str, str] = {
    "softmax": "Softmax",
    "matmul": "MatMul",
    "bmm": "MatMul",
    "sigmoid": "Sigmoid",
    "tanh": "Tanh",
    "add": "Add",
    "mul": "Mul",
}
"""Type of an op by the tensor method that computes it."""

ATTENTION = frozenset({"LayerNorm", "Softmax", "MultiheadAttention", "ScaledDotProductAttention"})
"""A model with one of these is treated as a transformer: only its weighted ops are worth quantizing."""

WEIGHTED = frozenset({"Conv1d", "Conv2d", "Conv3d", "Linear"}) | {f"ConvTranspose{n}d" for n in (1, 2, 3)}
"""Types of ops with a weight and a static form."""

ABSORBED = frozenset(
    {
        *("BatchNorm2d", "BatchNorm3d", "InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d", "LayerNorm", "GroupNorm"),
        *("Hardswish", "LeakyReLU", "ELU", "PReLU", "Sigmoid", "Hardsigmoid", "Tanh", "Softmax"),
    }
)
"""Types of ops that the framework runs in 8 bits between ops that are in 8 bits, asked to or not."""

RECURRENT = frozenset({"LSTM", "GRU", "LSTMCell", "GRUCell"})
"""Types of ops with several weights of their own."""


def type_of(node: Node, graph_module: GraphModule) -> str | None:
    """Op type of a node; None for what is no op of its own."""
    if node.op == "call_module":
        return MODULES.get(type(graph_module.get_submodule(str(node.target))))
    if node.op == "call_function":
        return FUNCTIONS.get(node.target)
    if node.op == "call_method":
        return METHODS.get(str(node.target))
    return None
