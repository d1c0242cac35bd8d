"""BatchNorm behind a convolution or matrix product moves into its weight and bias.

At inference BatchNorm is y = x·m + a with m = γ / √(σ² + ε) and a = β − μ·m (Ioffe and Szegedy, "Batch Normalization",
algorithm 2), whether as one operator or as the product and sum that are left when constants are folded.
"""

from __future__ import annotations

import numpy as np

from autoq.adaptors.tensorflow.graph import Graph, NodeDef, attribute, data_inputs
from autoq.adaptors.tensorflow.passes.layers import (
    Row,
    channels,
    is_layer,
    other_operand,
    row,
    scaled_weight,
    step_behind,
)
from autoq.adaptors.tensorflow.passes.rewrite import Rewrite, set_type

_NORMS = frozenset({"FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"})


def fold_batch_norm(graph: Graph) -> Graph:
    """The graph with products and sums with a constant row, and BatchNorm, in the layers before them.

    A layer and everything that follows it in this way become the layer with a new weight and one ``BiasAdd``, which
    takes the name of the last node.
    """
    rewrite = Rewrite(graph)
    for node in graph.nodes:
        if is_layer(graph, node):
            _fold(graph, node, rewrite)
    return rewrite.finish()


def _fold(graph: Graph, layer: NodeDef, rewrite: Rewrite) -> None:
    size = channels(graph, layer)
    tensor, factor, bias = f"{layer.name}:0", np.ones(size, np.float64), np.zeros(size, np.float64)
    steps: list[NodeDef] = []
    while (node := step_behind(graph, tensor)) is not None:
        affine = _affine(graph, node, tensor, size)
        if affine is None:
            break
        multiplier, offset = affine
        factor, bias = factor * multiplier, bias * multiplier + offset
        steps.append(node)
        tensor = f"{node.name}:0"
    if not steps or (len(steps) == 1 and steps[0].op == "BiasAdd"):
        return
    if not (factor == 1.0).all():
        weight = scaled_weight(graph, layer, factor.astype(np.float32))
        rewrite.node(layer.name).input[1] = rewrite.constant(layer.name, weight)
    last = steps[-1].name
    value = rewrite.constant(last, bias.astype(np.float32))
    set_type(rewrite.become(last, "BiasAdd", (f"{layer.name}:0", value))).attr["data_format"].s = b"NHWC"


def _affine(graph: Graph, node: NodeDef, tensor: str, size: int) -> tuple[Row, Row] | None:
    """Multiplier and offset, each ``[size]``, of a node that does no more to its input; None for any other."""
    one, zero = np.ones(size, np.float32), np.zeros(size, np.float32)
    if node.op in _NORMS:
        return inference_norm(graph, node, size) if data_inputs(node)[0] == tensor else None
    if node.op not in ("BiasAdd", "Add", "AddV2", "Sub", "Mul", "RealDiv"):
        return None
    if node.op == "BiasAdd" and attribute(node, "data_format").s not in (b"", b"NHWC"):
        return None
    other, shape = other_operand(node, tensor), graph.shape(tensor)
    value = row(graph, other, size, len(shape)) if other is not None and shape is not None else None
    if value is None:
        return None
    first = data_inputs(node)[0] == tensor
    if node.op in ("BiasAdd", "Add", "AddV2"):
        return one, value
    if node.op == "Sub":
        return (one, -value) if first else (-one, value)
    if node.op == "Mul":
        return value, zero
    return (1.0 / value, zero) if first and value.all() else None


def inference_norm(graph: Graph, node: NodeDef, size: int) -> tuple[Row, Row] | None:
    """Multiplier and offset, each ``[size]``, of a BatchNorm with constant statistics; None where it has none."""
    inference = not attribute(node, "is_training").b and attribute(node, "data_format").s in (b"", b"NHWC")
    results = [f"{node.name}:{i}" for i in range(1, 6)]
    others = any(name in graph.consumers or name in graph.outputs for name in results)
    values = [row(graph, name, size, 1) for name in data_inputs(node)[1:5]]
    if not inference or others or any(value is None for value in values):
        return None
    scale, offset, mean, variance = (np.asarray(value, np.float64) for value in values)
    multiplier = scale / np.sqrt(variance + attribute(node, "epsilon").f)
    return multiplier, offset - mean * multiplier
