"""Dense layers on sequences become plain matrix products.

Keras multiplies ``[batch, time, in]`` by a matrix with BatchMatMulV2, or with a product between two Reshapes
(Tensordot). The second form is what has an 8-bit kernel, so the first is brought to it.
"""

from __future__ import annotations

import math

import numpy as np

from autoq.adaptors.tensorflow.graph import Graph, NodeDef, Shape, attribute, data_inputs
from autoq.adaptors.tensorflow.passes.rewrite import Rewrite, set_type
from autoq.adaptors.tensorflow.runtime import tf

_BATCHED = frozenset({"BatchMatMul", "BatchMatMulV2", "BatchMatMulV3"})


def split_batched_products(graph: Graph) -> Graph:
    """The graph with products of a tensor and a constant matrix as Reshape, ``MatMul``, Reshape.

    The product keeps the node's name; a node that is fetched stays as it is.
    """
    rewrite = Rewrite(graph)
    for node in graph.nodes:
        output = f"{node.name}:0"
        if node.op not in _BATCHED or output in graph.outputs or graph.dtype(output) != "float32":
            continue
        x, matrix = data_inputs(node)
        weight, before, after = graph.constant(matrix), graph.shape(x), graph.shape(output)
        if (
            weight is None
            or weight.ndim != 2
            or attribute(node, "adj_x").b
            or not _flattens(before)
            or not _flattens(after)
        ):
            continue
        assert before is not None
        assert after is not None
        flat = reshape(rewrite, node.name, x, (None, before[-1]))
        transposed = attribute(node, "adj_y").b
        product = set_type(rewrite.become(node.name, "MatMul", (f"{flat.name}:0", matrix)))
        product.attr["transpose_a"].b, product.attr["transpose_b"].b = False, transposed
        back = reshape(rewrite, node.name, "", after)
        rewrite.redirect({output: f"{back.name}:0"})
        back.input[0] = output
    return rewrite.finish()


def bias_before_reshape(graph: Graph) -> Graph:
    """The graph with a bias behind a product's Reshape before it, as where attention splits its heads.

    The Reshape takes the name of the sum.
    """
    rewrite = Rewrite(graph)
    for node in graph.nodes:
        if node.op != "MatMul" or graph.constant(data_inputs(node)[1]) is None:
            continue
        product = f"{node.name}:0"
        shaped = graph.only_consumer(product)
        if shaped is None or shaped.op != "Reshape":
            continue
        after = graph.only_consumer(f"{shaped.name}:0")
        if after is None or after.op not in ("Add", "AddV2"):
            continue
        bias = _flat_bias(graph, after, f"{shaped.name}:0", graph.shape(product))
        if bias is None:
            continue
        added = rewrite.add("BiasAdd", node.name, (product, rewrite.constant(node.name, bias)))
        set_type(added).attr["data_format"].s = b"NHWC"
        last = rewrite.become(after.name, "Reshape", (f"{added.name}:0", data_inputs(shaped)[1]))
        for key in ("T", "Tshape"):
            if key in shaped.attr:
                last.attr[key].CopyFrom(shaped.attr[key])
    return rewrite.finish()


def _flat_bias(graph: Graph, node: NodeDef, tensor: str, product: Shape | None) -> np.ndarray | None:
    """The constant a sum adds, as a row of the product; None when it is no such thing."""
    first, second = data_inputs(node)
    value = graph.constant(second if first == tensor else first) if first != second else None
    shape = graph.shape(tensor)
    if value is None or shape is None or not product or product[-1] is None or value.ndim < 1:
        return None
    while value.ndim > 1 and value.shape[0] == 1 and value.size == math.prod(value.shape[1:]) > 1:
        value = value[0]
    trailing = shape[len(shape) - value.ndim :]
    return value.reshape(-1) if value.shape == trailing and value.size == product[-1] else None


def _flattens(shape: Shape | None) -> bool:
    """Whether a tensor of this shape is a stack of rows whose number alone may be unknown."""
    return shape is not None and len(shape) > 2 and shape.count(None) <= 1 and shape[-1] is not None


def reshape(rewrite: Rewrite, near: str, tensor: str, shape: Shape) -> NodeDef:
    """Add a Reshape to a shape of which one size may be unknown."""
    sizes = np.array([-1 if size is None else size for size in shape], np.int32)
    node = rewrite.add("Reshape", near, (tensor, rewrite.constant(near, sizes)))
    set_type(node).attr["Tshape"].type = tf.int32.as_datatype_enum
    return node
