"""Shapes computed at run time become constants where only the batch is unknown; Reshapes that change nothing go."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from autoq.adaptors.tensorflow.graph import Graph, NodeDef, Shape, attribute, data_inputs
from autoq.adaptors.tensorflow.passes.rewrite import Rewrite
from autoq.adaptors.tensorflow.runtime import tf

_ELEMENTWISE = frozenset(
    {"Add", "AddV2", "BiasAdd", "Elu", "Erf", "Erfc", "Exp", "LeakyRelu", "Mul", "Neg", "Pow", "RealDiv", "Relu"}
    | {"Relu6", "Rsqrt", "Selu", "Sigmoid", "Softplus", "Sqrt", "Square", "SquaredDifference", "Sub", "Tanh"}
)

Sizes = tuple[int | None, ...]
"""Elements of a vector of integers; None for one that is only known at run time."""


def fold_shapes(graph: Graph) -> Graph:
    """The graph with the shapes Reshapes read as constants, ``-1`` in place of one unknown size."""
    known: dict[str, Sizes] = {}
    shapes: dict[str, Shape | None] = {}
    rewrite = Rewrite(graph)
    for node in graph.nodes:
        output = f"{node.name}:0"
        sizes = _sizes(graph, node, known, shapes)
        if sizes is not None:
            known[output] = sizes
        shapes[output] = _refined(graph, node, known, shapes)
        if node.op != "Reshape" or graph.producer(data_inputs(node)[1]).op == "Const":
            continue
        # One unknown size follows from the number of elements.
        wanted = shapes[output]
        if wanted is not None and wanted.count(None) <= 1:
            value = np.array([-1 if size is None else size for size in wanted], np.int32)
            rewrite.node(node.name).input[1] = rewrite.constant(node.name, value)
            rewrite.node(node.name).attr["Tshape"].type = tf.int32.as_datatype_enum
    return rewrite.finish()


def merge_reshapes(graph: Graph) -> Graph:
    """The graph without Reshapes and Transposes that change nothing; of two Reshapes in a row, the second is enough."""
    rewrite = Rewrite(graph)
    same: dict[str, str] = {}
    sources: dict[str, str] = {}
    for node in graph.nodes:
        output = f"{node.name}:0"
        if node.op == "Reshape" and graph.constant(data_inputs(node)[1]) is not None:
            source = data_inputs(node)[0]
            source = sources.get(same.get(source, source), same.get(source, source))
            if _equal(graph.shape(source), graph.shape(output)) and output not in graph.outputs:
                same[output] = source
                continue
            sources[output] = source
            if source != data_inputs(node)[0]:
                rewrite.node(node.name).input[0] = source
        elif _still(graph, node) and output not in graph.outputs:
            source = data_inputs(node)[0]
            same[output] = same.get(source, source)
    if same:
        rewrite.redirect(same)
    return rewrite.finish()


def _still(graph: Graph, node: NodeDef) -> bool:
    """Whether a node is a transpose that leaves every axis where it is."""
    if node.op != "Transpose":
        return False
    order = graph.constant(data_inputs(node)[1])
    return order is not None and order.tolist() == list(range(order.size))


def _equal(first: Shape | None, second: Shape | None) -> bool:
    """Whether two tensors with the same elements have the same shape: at most one size is unknown."""
    return first is not None and first == second and first.count(None) <= 1


def _refined(
    graph: Graph, node: NodeDef, known: Mapping[str, Sizes], shapes: Mapping[str, Shape | None]
) -> Shape | None:
    """A tensor's shape, where TensorFlow does not see through what a Reshape reads."""
    output, inputs = f"{node.name}:0", data_inputs(node)
    shape = graph.shape(output)
    if not inputs or (shape is not None and shape.count(None) <= 1):
        return shape
    if node.op == "Reshape" and (sizes := known.get(inputs[1])) is not None:
        return tuple(None if size is None or size < 0 else size for size in sizes)
    if node.op in _ELEMENTWISE:
        return _broadcast([shapes.get(name, graph.shape(name)) for name in inputs])
    return shape


def _broadcast(shapes: list[Shape | None]) -> Shape | None:
    """The shape of an element-wise result: of sizes that meet, the one known to exceed 1."""
    if any(shape is None for shape in shapes):
        return None
    rank = max(len(shape) for shape in shapes if shape is not None)
    columns = zip(*((1,) * (rank - len(shape)) + shape for shape in shapes if shape is not None), strict=True)
    return tuple(_meet(column) for column in columns)


def _meet(sizes: tuple[int | None, ...]) -> int | None:
    large = [size for size in sizes if size is not None and size != 1]
    if large:
        return large[0]
    return None if None in sizes else 1


def _sizes(graph: Graph, node: NodeDef, known: Mapping[str, Sizes], shapes: Mapping[str, Shape | None]) -> Sizes | None:
    output, inputs = f"{node.name}:0", data_inputs(node)
    if node.op == "Shape":
        return shapes.get(inputs[0]) or graph.shape(inputs[0])
    if node.op == "Const":
        value = graph.constant(output)
        small = value is not None and value.ndim <= 1 and value.dtype in (np.int32, np.int64)
        return tuple(int(v) for v in value.reshape(-1)) if value is not None and small else None
    if node.op not in _RULES or any(name not in known for name in inputs):
        return None
    return _RULES[node.op](node, [known[name] for name in inputs])


def _gather(_: NodeDef, inputs: list[Sizes]) -> Sizes | None:
    values, indices = inputs[:2]
    return None if None in indices else tuple(values[i] for i in indices if i is not None)


def _concat(_: NodeDef, inputs: list[Sizes]) -> Sizes | None:
    return tuple(size for part in inputs[:-1] for size in part)


def _pack(_: NodeDef, inputs: list[Sizes]) -> Sizes | None:
    return tuple(size for part in inputs for size in part) if all(len(part) == 1 for part in inputs) else None


def _product(_: NodeDef, inputs: list[Sizes]) -> Sizes | None:
    values = [value for value in inputs[0] if value is not None]
    return (math.prod(values) if len(values) == len(inputs[0]) else None,)


def _multiply(_: NodeDef, inputs: list[Sizes]) -> Sizes | None:
    first, second = inputs
    if len(first) != 1 or len(second) != 1:
        return None
    return (None if first[0] is None or second[0] is None else first[0] * second[0],)


def _slice(node: NodeDef, inputs: list[Sizes]) -> Sizes | None:
    values, begin, end, stride = inputs
    odd = any(attribute(node, key).i for key in ("ellipsis_mask", "new_axis_mask"))
    if odd or any(len(part) != 1 or part[0] is None for part in (begin, end, stride)):
        return None
    if attribute(node, "shrink_axis_mask").i:
        assert begin[0] is not None
        return (values[begin[0]],)
    start = None if attribute(node, "begin_mask").i else begin[0]
    stop = None if attribute(node, "end_mask").i else end[0]
    return values[start : stop : stride[0]]


def _keep(_: NodeDef, inputs: list[Sizes]) -> Sizes | None:
    return inputs[0]


_RULES = {
    "GatherV2": _gather,
    "ConcatV2": _concat,
    "Pack": _pack,
    "Prod": _product,
    "Mul": _multiply,
    "StridedSlice": _slice,
    "Cast": _keep,
    "Identity": _keep,
}
