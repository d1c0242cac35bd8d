"""What a file really runs, op by op: read from the types of its tensors."""

from __future__ import annotations

from dataclasses import replace

from autoq.adaptors.tensorflow_lite.graph import FLOAT32, Graph, Node, Tensor, graph_of, parse
from autoq.adaptors.tensorflow_lite.model import LiteModel
from autoq.adaptors.tensorflow_lite.ranges import observers
from autoq.adaptors.tensorflow_lite.support import FP16
from autoq.core.plan import Plan
from autoq.core.precision import DType, Granularity, Mode, OpPrecision, Scheme, TensorQuant

_INTEGERS = {"int4": DType.INT4, "int8": DType.INT8, "int16": DType.INT16}


def realized_plan(model: LiteModel, plan: Plan, content: bytes) -> Plan:
    """`plan` as the file holds it: ops that ended up between conversions are float.

    How the range of an activation was chosen is not in the file: it is that of the op which decided it for the
    tensor, and an op without a weight is told as it was asked.
    """
    graph = graph_of(parse(content))
    decided = observers(model, plan)
    found: dict[str, OpPrecision] = {}
    for op_id, asked in plan.precisions.items():
        node = graph.by_name.get(op_id)
        precision = precision_of(graph, node) if node is not None else None
        if precision is None:
            continue
        op = model.ops_by_id[op_id]
        if precision.mode is Mode.STATIC and precision.activation is not None and asked.activation is not None:
            reads = model.graph.tensors[op.activations[0]].name if op.activations else ""
            observer = decided[reads] if op.weight is not None and reads in decided else asked.activation
            precision = replace(precision, activation=replace(precision.activation, observer=observer.observer))
        if _one_channel(precision, asked):
            precision = replace(precision, weight=asked.weight)
        found[op_id] = precision
    return Plan(found)


def precision_of(graph: Graph, node: Node) -> OpPrecision | None:
    """What a node of a file runs in; None for float32."""
    weight, explicit = _weight(graph, node)
    quantized = _quant(weight) if weight is not None else None
    read = [graph.tensors[i].type for i in graph.activations(node) if graph.tensors[i].type in (FLOAT32, *_INTEGERS)]
    made = graph.tensors[node.outputs[0]].type
    if explicit:
        if weight is not None and weight.type == "float16":
            return FP16
        return OpPrecision(Mode.WEIGHT_ONLY, quantized) if quantized is not None else None
    if made in _INTEGERS and all(kind in _INTEGERS for kind in read):
        scheme = Scheme.SYM if made == "int16" else Scheme.ASYM
        return OpPrecision(Mode.STATIC, quantized, TensorQuant(_INTEGERS[made], scheme))
    if quantized is not None and made == FLOAT32:
        return OpPrecision(Mode.DYNAMIC, quantized, TensorQuant(DType.INT8, Scheme.ASYM))
    return None


def _weight(graph: Graph, node: Node) -> tuple[Tensor | None, bool]:
    """The stored weight of a node, and whether it is dequantized before the node reads it."""
    index = node.weight
    if index is None or index < 0:
        return None, False
    maker = graph.producer.get(index)
    if maker is not None and maker.type == "DEQUANTIZE" and graph.tensors[maker.inputs[0]].constant:
        return graph.tensors[maker.inputs[0]], True
    tensor = graph.tensors[index]
    return (tensor, False) if tensor.constant else (None, False)


def _quant(tensor: Tensor) -> TensorQuant | None:
    if tensor.type not in _INTEGERS:
        return None
    scheme = Scheme.ASYM if any(tensor.zero_points) else Scheme.SYM
    if tensor.block:
        return TensorQuant(_INTEGERS[tensor.type], scheme, Granularity.PER_GROUP, group_size=tensor.block)
    spread = Granularity.PER_CHANNEL if len(tensor.scales) > 1 else Granularity.PER_TENSOR
    return TensorQuant(_INTEGERS[tensor.type], scheme, spread)


def _one_channel(found: OpPrecision, asked: OpPrecision) -> bool:
    """Whether a weight has one scale because it has one channel."""
    return (
        found.weight is not None
        and asked.weight is not None
        and found.weight.granularity is Granularity.PER_TENSOR
        and asked.weight.granularity is Granularity.PER_CHANNEL
        and found.weight.dtype is asked.weight.dtype
    )
