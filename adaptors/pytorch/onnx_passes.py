"""What is done to an exported graph, so that 8-bit kernels run wherever it is read."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, helper, numpy_helper

from autoq.adaptors.onnxrt.qdq import DEQUANTIZE, QUANTIZE, QdqGraph, attribute_of

_MIDDLE = 128


def prepare(proto: ModelProto, *, tensorrt: bool) -> None:
    """Make an exported graph one that runtimes run in 8 bits; what it computes stays the same.

    Args:
        proto: Changed in place.
        tensorrt: Write what TensorRT takes: signed activations, float biases. Otherwise biases of quantized Gemm
            nodes are 32-bit integers, as ONNX Runtime wants them.
    """
    fold_constants(proto)
    fold_transposes(proto)
    merge_pairs(proto)
    if tensorrt:
        sign_activations(proto)
    else:
        quantize_biases(proto)
    remove_unread(proto)


def sign_activations(proto: ModelProto) -> None:
    """Store uint8 grids around 128 as int8 grids around 0: the same numbers under other names."""
    graph = QdqGraph(proto)
    signed: dict[str, str] = {}
    for node in graph.pairs():
        zero_point = graph.zero_point(node)
        if zero_point is None or zero_point.dtype != np.uint8 or not (zero_point == _MIDDLE).all():
            continue
        name = node.input[2]
        if name not in signed:
            signed[name] = f"{name}/signed"
            zeros = np.zeros(zero_point.shape, np.int8)
            proto.graph.initializer.append(numpy_helper.from_array(zeros, signed[name]))
        node.input[2] = signed[name]


def fold_constants(proto: ModelProto) -> None:
    """Store constants that are quantized in 8 bits, without their float values."""
    graph = QdqGraph(proto)
    arrays: dict[str, NDArray[Any]] = {}

    def known(name: str) -> NDArray[Any] | None:
        if name not in arrays and name in graph.constants:
            arrays[name] = graph.array(name)
        return arrays.get(name)

    for node in graph.nodes:
        if node.op_type not in (QUANTIZE, "Clip"):
            continue
        inputs = [known(name) for name in node.input]
        if any(array is None for array in inputs):
            continue
        arrays[node.output[0]] = _folded(node, [array for array in inputs if array is not None])
        proto.graph.initializer.append(numpy_helper.from_array(arrays[node.output[0]], node.output[0]))
        proto.graph.node.remove(node)


def _folded(node: NodeProto, inputs: list[NDArray[Any]]) -> NDArray[Any]:
    if node.op_type == "Clip":
        return np.clip(inputs[0], *inputs[1:]).astype(inputs[0].dtype)
    zero_point = inputs[2] if len(inputs) > 2 else np.zeros(inputs[1].shape, np.uint8)
    return _quantized(inputs[0], inputs[1], zero_point, int(attribute_of(node, "axis", 1)))


def fold_transposes(proto: ModelProto) -> None:
    """Store quantized weights the way round they are read, with their scales along the axis that holds them then."""
    graph = QdqGraph(proto)
    for node in graph.nodes:
        back = graph.producer.get(node.input[0]) if node.op_type == "Transpose" else None
        if back is None or back.op_type != DEQUANTIZE or back.input[0] not in graph.constants:
            continue
        if len(graph.consumers[back.output[0]]) > 1 or len(graph.consumers[back.input[0]]) > 1:
            continue
        stored = graph.array(back.input[0])
        order = list(attribute_of(node, "perm", range(stored.ndim)[::-1]))
        graph.constants[back.input[0]].CopyFrom(
            numpy_helper.from_array(np.ascontiguousarray(stored.transpose(order)), back.input[0])
        )
        for attribute in back.attribute:
            if attribute.name == "axis":
                attribute.i = order.index(attribute.i % stored.ndim)
        back.output[0] = node.output[0]
        proto.graph.node.remove(node)


def merge_pairs(proto: ModelProto) -> None:
    """Drop a quantize and dequantize pair that follows another one with the same grid: it changes nothing."""
    graph = QdqGraph(proto)
    renamed: dict[str, str] = {}
    for node in graph.nodes:
        if node.op_type != QUANTIZE:
            continue
        before = graph.producer.get(node.input[0])
        if before is None or before.op_type != DEQUANTIZE or before.input[0] in graph.constants:
            continue
        if _same_grid(graph, node, before):
            renamed[node.output[0]] = before.input[0]
    for node in proto.graph.node:
        for position, name in enumerate(node.input):
            while name in renamed:
                name = renamed[name]
            node.input[position] = name


def quantize_biases(proto: ModelProto) -> None:
    """Store the biases of quantized Gemm nodes in 32-bit integers, on the grid of their products."""
    graph = QdqGraph(proto)
    nodes: list[NodeProto] = []
    for node in proto.graph.node:
        grid = _product_grid(graph, node)
        if grid is not None:
            bias = graph.array(node.input[2]).astype(np.float64)
            values = np.rint(bias / grid.astype(np.float64))
            if np.abs(values).max(initial=0) < 2**31:
                name = f"{node.name}/bias"
                proto.graph.initializer.append(numpy_helper.from_array(values.astype(np.int32), f"{name}/quantized"))
                proto.graph.initializer.append(numpy_helper.from_array(grid, f"{name}/scale"))
                inputs = [f"{name}/quantized", f"{name}/scale"]
                nodes.append(helper.make_node(DEQUANTIZE, inputs, [name], name=f"{name}/dequantize", axis=0))
                node.input[2] = name
        nodes.append(node)
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)


def remove_unread(proto: ModelProto) -> None:
    """Remove nodes and constants that nothing reads."""
    outputs = {o.name for o in proto.graph.output}
    while True:
        read = {name for node in proto.graph.node for name in node.input} | outputs
        unread = [node for node in proto.graph.node if not read.intersection(node.output)]
        if not unread:
            break
        for node in unread:
            proto.graph.node.remove(node)
    kept = [t for t in proto.graph.initializer if t.name in read]
    del proto.graph.initializer[:]
    proto.graph.initializer.extend(kept)


def strip_metadata(proto: ModelProto) -> None:
    """Remove what the exporter notes of source files, and shapes it noted of the example."""
    for item in (*proto.graph.node, *proto.graph.input, *proto.graph.output, *proto.graph.initializer):
        del item.metadata_props[:]
        item.ClearField("doc_string")
    del proto.metadata_props[:]
    del proto.graph.metadata_props[:]
    del proto.graph.value_info[:]
    proto.graph.ClearField("doc_string")
    proto.ClearField("doc_string")
    proto.producer_name, proto.producer_version = "autoq", ""
    for function in proto.functions:
        del function.metadata_props[:]


def _quantized(values: NDArray[Any], scale: NDArray[Any], zero_point: NDArray[Any], axis: int) -> NDArray[Any]:
    low, high = (-128, 127) if zero_point.dtype == np.int8 else (0, 255)
    shape = [1] * values.ndim
    if scale.size > 1:
        shape[axis] = scale.size
    divided = values.astype(np.float32) / scale.astype(np.float32).reshape(shape)
    stored = np.clip(np.rint(divided) + zero_point.astype(np.float32).reshape(shape), low, high)
    found: NDArray[Any] = stored.astype(zero_point.dtype)
    return found


def _same_grid(graph: QdqGraph, first: NodeProto, second: NodeProto) -> bool:
    if len(first.input) != len(second.input):
        return False
    pairs = list(zip(first.input[1:], second.input[1:], strict=True))
    if any(a != b and (a not in graph.constants or b not in graph.constants) for a, b in pairs):
        return False
    return all(
        a == b or (graph.array(a).dtype == graph.array(b).dtype and np.array_equal(graph.array(a), graph.array(b)))
        for a, b in pairs
    )


def _product_grid(graph: QdqGraph, node: NodeProto) -> NDArray[np.float32] | None:
    """Scales of a quantized Gemm's product, where its bias is a constant float; None otherwise."""
    if node.op_type != "Gemm" or len(node.input) < 3 or node.input[2] not in graph.constants:
        return None
    data, weight = graph.dequantized(node.input[0]), graph.dequantized(node.input[1])
    if data is None or weight is None or graph.array(node.input[2]).ndim != 1:
        return None
    if data.input[1] not in graph.constants or weight.input[1] not in graph.constants:
        return None
    if any(attribute_of(node, name, 1.0) != 1.0 for name in ("alpha", "beta")):
        return None
    scale = graph.array(data.input[1]) * graph.array(weight.input[1])
    bias: NDArray[Any] = graph.array(node.input[2])
    return np.broadcast_to(scale.reshape(-1), bias.shape).astype(np.float32)
