"""TensorRT's rules for graphs with explicit quantization, checked without TensorRT.

Source: TensorRT documentation, "Working with Quantized Types" (symmetric int8, granularity) and "Explicit
Quantization" (placement of quantize and dequantize nodes), and the operator table of its ONNX parser.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from onnx import ModelProto, NodeProto, TensorProto

from autoq.adaptors.onnxrt.qdq import DEQUANTIZE, QUANTIZE, WEIGHTED, QdqGraph, attribute_of, is_zero
from autoq.core.deployment import BrokenRule

_FUSED = frozenset({"Relu", "Clip", "BatchNormalization"})

_UNKNOWN = frozenset(
    {
        "ConvInteger",
        "DynamicQuantizeLinear",
        "DynamicQuantizeLSTM",
        "DynamicQuantizeMatMul",
        "MatMulInteger",
        "MatMulIntegerToFloat",
        "QGemm",
        "QLinearConv",
        "QLinearMatMul",
    }
)

OPSETS = (13, 24)
"""Opsets in which its parser reads per-channel quantize and dequantize nodes."""

Found = Iterator[tuple[str, str]]
"""Node and what is wrong there."""


@dataclass(frozen=True)
class Rule:
    """One rule.

    Attributes:
        name: Short name.
        sentence: What it asks for.
        check: Finds what breaks it.
    """

    name: str
    sentence: str
    check: Callable[[QdqGraph], Found]


def checked(proto: ModelProto) -> tuple[tuple[str, ...], tuple[BrokenRule, ...]]:
    """Names of the rules, and every node that breaks one."""
    graph = QdqGraph(proto)
    broken = [BrokenRule(rule.name, node, message) for rule in RULES for node, message in rule.check(graph)]
    return tuple(rule.name for rule in RULES), tuple(broken)


def _opset(graph: QdqGraph) -> Found:
    for opset in graph.proto.opset_import:
        if opset.domain in ("", "ai.onnx") and not OPSETS[0] <= opset.version <= OPSETS[1]:
            yield "", f"the graph has opset {opset.version}, and TensorRT reads {OPSETS[0]} to {OPSETS[1]}"
        elif opset.domain not in ("", "ai.onnx") and any(n.domain == opset.domain for n in graph.nodes):
            yield "", f"the graph has operators of domain {opset.domain}, which TensorRT does not know"


def _known_operators(graph: QdqGraph) -> Found:
    for node in graph.nodes:
        if node.op_type in _UNKNOWN:
            yield node.name, f"TensorRT has no {node.op_type}: quantization is read from Q/DQ pairs only"


def _zero_points(graph: QdqGraph) -> Found:
    for node in graph.pairs():
        if len(node.input) > 2 and node.input[2] and node.input[2] not in graph.constants:
            yield node.name, "the zero point is not a constant"
        elif not is_zero(graph.zero_point(node)):
            yield node.name, "the zero point is not 0: TensorRT's quantization is symmetric"


def _int8_only(graph: QdqGraph) -> Found:
    for node in graph.pairs():
        stored = graph.stored_type(node)
        if stored not in (TensorProto.INT8, None):
            yield node.name, f"stores {TensorProto.DataType.Name(stored).lower()}, and TensorRT takes int8"


def _constant_scales(graph: QdqGraph) -> Found:
    for node in graph.pairs():
        if node.input[1] not in graph.constants:
            yield node.name, "the scale is not a constant"
        elif not (graph.array(node.input[1]) > 0).all():
            yield node.name, "a scale is not positive"


def _activations_per_tensor(graph: QdqGraph) -> Found:
    for node in graph.pairs():
        scale = graph.constants.get(node.input[1])
        if scale is None or _is_weight(graph, node) or _stands_for_weight(graph, node):
            continue
        if graph.array(node.input[1]).size != 1:
            yield node.name, "an activation has one scale per channel: only weights may"


def _weight_axis(graph: QdqGraph) -> Found:
    for node in graph.nodes:
        wanted = weight_axis(node)
        if wanted is None:
            continue
        back = graph.dequantized(node.input[1])
        if back is None or not _is_weight(graph, back) or back.input[1] not in graph.constants:
            continue
        if graph.array(back.input[1]).size == 1:
            continue
        rank = graph.array(back.input[0]).ndim if back.input[0] in graph.constants else 2
        axis = _turned(graph, node.input[1], int(attribute_of(back, "axis", 1)) % rank, rank)
        if axis != wanted % rank:
            yield back.name, f"weight scales lie along axis {axis}; the output channels of {node.op_type} are {wanted}"


def _turned(graph: QdqGraph, tensor: str, axis: int, rank: int) -> int:
    """Where an axis of a dequantized weight lies in the tensor that is read, behind transpositions."""
    orders = []
    while (node := graph.producer.get(tensor)) is not None and node.op_type != DEQUANTIZE:
        if node.op_type == "Transpose":
            orders.append(list(attribute_of(node, "perm", ())))
        tensor = node.input[0]
    for order in reversed(orders):
        axis = order.index(axis) if order else rank - 1 - axis
    return axis


def weight_axis(node: NodeProto) -> int | None:
    """The axis of a node's weight that holds its output channels; None when it has no weight."""
    match node.op_type:
        case "Conv":
            return 0
        case "ConvTranspose":
            return 1
        case "Gemm":
            return 0 if attribute_of(node, "transB", 0) else 1
        case "MatMul":
            return -1
        case _:
            return None


def _inputs_in_pairs(graph: QdqGraph) -> Found:
    for node in graph.nodes:
        if node.op_type not in WEIGHTED:
            continue
        quantized = [graph.dequantized(name) is not None for name in node.input[:2]]
        if any(quantized) and not all(quantized):
            which = "activation" if quantized[1] else "second input"
            yield node.name, f"the {which} of this {node.op_type} is not quantized: it runs in float, at extra cost"


def _pairs_complete(graph: QdqGraph) -> Found:
    for node in graph.nodes:
        if node.op_type != QUANTIZE:
            continue
        readers = graph.consumers.get(node.output[0], [])
        if not readers or any(r.op_type != DEQUANTIZE for r in readers):
            yield node.name, "a quantize node is not followed by a dequantize node"


def _residual_add(graph: QdqGraph) -> Found:
    for node in graph.nodes:
        if node.op_type != "Add" or len(node.input) != 2 or any(i in graph.constants for i in node.input):
            continue
        sources = [graph.origin(name) for name in node.input]
        convs = [s is not None and s.op_type in ("Conv", "ConvTranspose") and graph.is_quantized(s) for s in sources]
        if not any(convs) or not _quantized_later(graph, node):
            continue
        others = [graph.dequantized(name) is not None for name, conv in zip(node.input, convs, strict=True) if not conv]
        if others and not all(others):
            yield node.name, "the residual input is float: the convolution before this Add cannot leave int8"
        elif not others:
            yield (
                node.name,
                "neither input is quantized: quantize one to fuse this Add with the other's convolution",
            )


def _no_pair_before_activation(graph: QdqGraph) -> Found:
    for node in graph.nodes:
        if node.op_type not in _FUSED:
            continue
        back = graph.producer.get(node.input[0])
        if back is None or back.op_type != DEQUANTIZE:
            continue
        source = graph.producer.get(back.input[0])
        before = graph.producer.get(source.input[0]) if source is not None and source.op_type == QUANTIZE else None
        if before is not None and before.op_type in ("Conv", "ConvTranspose", "Gemm"):
            yield node.name, f"a Q/DQ pair stands between {before.op_type} and {node.op_type}, which would be fused"


def _float_bias(graph: QdqGraph) -> Found:
    for node in graph.nodes:
        if node.op_type not in ("Conv", "ConvTranspose", "Gemm") or len(node.input) < 3 or not node.input[2]:
            continue
        if graph.dequantized(node.input[2]) is not None:
            yield node.name, "the bias is quantized: TensorRT takes a float bias"


def _constant_weights(graph: QdqGraph) -> Found:
    for node in graph.nodes:
        if node.op_type not in ("Conv", "ConvTranspose"):
            continue
        back = graph.dequantized(node.input[1])
        if back is not None and not _is_weight(graph, back):
            yield node.name, "the weight is not a constant behind a dequantize node"


def _is_weight(graph: QdqGraph, node: NodeProto) -> bool:
    """Whether a quantize or dequantize node holds a constant."""
    if node.input[0] in graph.constants:
        return True
    source = graph.producer.get(node.input[0])
    return node.op_type == DEQUANTIZE and source is not None and source.input[0] in graph.constants


def _stands_for_weight(graph: QdqGraph, node: NodeProto) -> bool:
    """Whether a tensor is only read as the weight of convolutions, constant or not."""
    readers = graph.consumers.get(node.output[0], [])
    return bool(readers) and all(
        r.op_type in ("Conv", "ConvTranspose") and r.input[1] == node.output[0] for r in readers
    )


def _quantized_later(graph: QdqGraph, node: NodeProto) -> bool:
    readers = graph.consumers.get(node.output[0], [])
    if len(readers) == 1 and readers[0].op_type in _FUSED:
        readers = graph.consumers.get(readers[0].output[0], [])
    return any(r.op_type == QUANTIZE for r in readers)


RULES = (
    Rule("opset", "The opset is one TensorRT's parser reads, and every operator is standard.", _opset),
    Rule("operators", "Quantization is written as Q/DQ pairs, not as quantized operators.", _known_operators),
    Rule("zero_point", "Every zero point is a constant 0.", _zero_points),
    Rule("int8", "Quantized tensors are int8.", _int8_only),
    Rule("scale", "Scales are positive constants.", _constant_scales),
    Rule("activation_scale", "An activation has one scale.", _activations_per_tensor),
    Rule("weight_axis", "Weight scales lie along the output channels.", _weight_axis),
    Rule("weights", "Quantized convolutions have constant weights.", _constant_weights),
    Rule("inputs", "Of a weighted op all inputs are quantized, or none.", _inputs_in_pairs),
    Rule("pairs", "A quantize node is followed by dequantize nodes only.", _pairs_complete),
    Rule("residual", "The residual input of an Add after a quantized convolution is quantized.", _residual_add),
    Rule("fusion", "No pair stands between a weighted op and its ReLU or batch norm.", _no_pair_before_activation),
    Rule("bias", "Biases are float.", _float_bias),
)
"""All rules, in the order they are reported."""
