"""Einstein sums that are a matrix product with a constant, as in attention's projections, become one.

``abc,cde->abde`` is a product of ``[a·b, c]`` and ``[c, d·e]``; ``abcd,cde->abe`` one of ``[a·b, c·d]`` and
``[c·d, e]``.
"""

from __future__ import annotations

import math

import numpy as np

from autoq.adaptors.tensorflow.graph import Graph, NodeDef, attribute, data_inputs
from autoq.adaptors.tensorflow.passes.dense import reshape
from autoq.adaptors.tensorflow.passes.rewrite import Rewrite, set_type


def split_einsums(graph: Graph) -> Graph:
    """The graph with such sums as Reshape, ``MatMul``, Reshape; the product keeps the node's name.

    A node that is fetched stays as it is.
    """
    rewrite = Rewrite(graph)
    for node in graph.nodes:
        if node.op == "Einsum" and f"{node.name}:0" not in graph.outputs:
            _split(graph, node, rewrite)
    return rewrite.finish()


def _split(graph: Graph, node: NodeDef, rewrite: Rewrite) -> None:
    inputs, output = data_inputs(node), f"{node.name}:0"
    summed = _summed_axes(attribute(node, "equation").s.decode()) if len(inputs) == 2 else 0
    weight, before, after = graph.constant(inputs[-1]), graph.shape(inputs[0]), graph.shape(output)
    if not summed or weight is None or before is None or after is None or graph.dtype(output) != "float32":
        return
    # One unknown size follows from the number of elements.
    if after.count(None) > 1 or None in before[-summed:]:
        return
    depth = math.prod(weight.shape[:summed])
    flat = reshape(rewrite, node.name, inputs[0], (None, depth))
    matrix = rewrite.constant(node.name, np.ascontiguousarray(weight.reshape(depth, -1)))
    product = set_type(rewrite.become(node.name, "MatMul", (f"{flat.name}:0", matrix)))
    product.attr["transpose_a"].b = product.attr["transpose_b"].b = False
    back = reshape(rewrite, node.name, "", after)
    rewrite.redirect({output: f"{back.name}:0"})
    back.input[0] = output


def _summed_axes(equation: str) -> int:
    """How many axes, the last of the first operand and the first of the second, are summed over; 0 for another form."""
    operands, _, result = equation.replace(" ", "").partition("->")
    first, _, second = operands.partition(",")
    if "." in equation or len(set(first)) < len(first) or len(set(second)) < len(second):
        return 0
    summed = sum(axis in second for axis in first)
    rows, columns = first[: len(first) - summed], second[summed:]
    fits = first[len(first) - summed :] == second[:summed] and result == rows + columns
    return summed if fits and columns and not set(rows) & set(columns) else 0
