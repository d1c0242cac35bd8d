"""What a kernel does besides its convolution or matrix product: padding, bias, residual sum, activation."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass

from autoq.adaptors.tensorflow.activations import activation_of
from autoq.adaptors.tensorflow.graph import Graph, NodeDef, attribute, data_inputs

_ADD = frozenset({"Add", "AddV2"})
_CLIPS = frozenset({"Relu", "Relu6"})


@dataclass(frozen=True)
class Tail:
    """The nodes behind an anchor that its kernel does as well.

    Attributes:
        bias: Tensor of the constant bias, or None.
        summand: The other operand of a residual sum, or None.
        activation: Kind of the activation; empty without one.
        members: Names of the nodes, in execution order.
        output: The tensor the last one leaves behind.
    """

    bias: str | None
    summand: str | None
    activation: str
    members: tuple[str, ...]
    output: str


def tail_of(graph: Graph, anchor: NodeDef, taken: Container[str]) -> Tail:
    """What follows an anchor with a constant weight.

    A convolution ends with bias, sum and Relu or Relu6; a matrix product with bias and any activation. Between a
    product and these a Reshape may stand, as in a dense layer on sequences.

    Args:
        graph: The graph.
        anchor: The node that does the work.
        taken: Names of nodes that belong to other ops: of two convolutions that are added, one has the sum.
    """
    tensor, members = f"{anchor.name}:0", list[str]()
    bias, tensor = _bias(graph, tensor, members)
    if anchor.op == "MatMul":
        return _product_tail(graph, tensor, bias, members)
    summand, tensor = _summand(graph, tensor, taken, members)
    found = activation_of(graph, tensor)
    activation = ""
    if found is not None and found.kind in _CLIPS:
        activation, tensor = found.kind, found.output
        members.extend(found.members)
    return Tail(bias, summand, activation, tuple(members), tensor)


def padding_before(graph: Graph, anchor: NodeDef, taken: Container[str]) -> NodeDef | None:
    """The Pad with zeros in height and width that a convolution can do itself; None without one."""
    if anchor.op not in ("Conv2D", "DepthwiseConv2dNative") or attribute(anchor, "padding").s != b"VALID":
        return None
    tensor = data_inputs(anchor)[0]
    pad = graph.producer(tensor)
    if pad.op != "Pad" or pad.name in taken or graph.only_consumer(tensor) is None:
        return None
    sizes = graph.constant(data_inputs(pad)[1])
    if sizes is None or sizes.shape != (4, 2) or sizes[[0, 3]].any() or graph.constant(data_inputs(pad)[0]) is not None:
        return None
    return pad


def _product_tail(graph: Graph, tensor: str, bias: str | None, members: list[str]) -> Tail:
    plain = Tail(bias, None, "", tuple(members), tensor)
    reshape = graph.only_consumer(tensor)
    if reshape is not None and reshape.op == "Reshape" and data_inputs(reshape)[0] == tensor:
        before, after = graph.shape(tensor), graph.shape(f"{reshape.name}:0")
        if before and after and before[-1] is not None and before[-1] == after[-1]:
            tensor = f"{reshape.name}:0"
            members.append(reshape.name)
            if bias is None:
                bias, tensor = _bias(graph, tensor, members)
    found = activation_of(graph, tensor)
    if found is not None:
        return Tail(bias, None, found.kind, (*members, *found.members), found.output)
    # A Reshape that nothing stands behind stays a node of its own.
    return Tail(bias, None, "", tuple(members), tensor) if bias != plain.bias else plain


def _bias(graph: Graph, tensor: str, members: list[str]) -> tuple[str | None, str]:
    node, shape = graph.only_consumer(tensor), graph.shape(tensor)
    if node is None or not shape or shape[-1] is None:
        return None, tensor
    inputs = data_inputs(node)
    if node.op == "BiasAdd" and attribute(node, "data_format").s in (b"", b"NHWC"):
        other = inputs[1]
    elif node.op in _ADD:
        other = inputs[1] if inputs[0] == tensor else inputs[0]
    else:
        return None, tensor
    value = graph.constant(other)
    if value is None or value.size != shape[-1] or value.shape[-1:] != (shape[-1],) or inputs[0] == inputs[1]:
        return None, tensor
    members.append(node.name)
    return other, f"{node.name}:0"


def _summand(graph: Graph, tensor: str, taken: Container[str], members: list[str]) -> tuple[str | None, str]:
    node = graph.only_consumer(tensor)
    if node is None or node.op not in _ADD or node.name in taken:
        return None, tensor
    first, second = data_inputs(node)
    other = second if first == tensor else first
    shape = graph.shape(tensor)
    # Sizes other than the batch have to be known: one of them could be 1, which would broadcast. A constant summand
    # crashes the kernel.
    known = shape is not None and len(shape) == 4 and None not in shape[1:] and graph.shape(other) == shape
    if not known or graph.constant(other) is not None:
        return None, tensor
    members.append(node.name)
    return other, f"{node.name}:0"
