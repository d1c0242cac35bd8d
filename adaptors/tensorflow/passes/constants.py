"""Nodes whose inputs are all constant become constants."""

from __future__ import annotations

import numpy as np

from autoq.adaptors.tensorflow.graph import Graph, NodeDef, data_inputs
from autoq.adaptors.tensorflow.passes.rewrite import Rewrite, pruned
from autoq.adaptors.tensorflow.runtime import op_def_registry, tf

_GROWTH = 1 << 16
"""Bytes by which a result may exceed what it is computed from: a filled or tiled tensor is better made at run time."""

_NUMBERS = frozenset({"bool", "int8", "uint8", "int16", "uint16", "int32", "int64", "float16", "float32", "float64"})
"""Types that NumPy has as well."""


def fold_constants(graph: Graph) -> Graph:
    """The graph with everything computed that no input takes part in."""
    known = {node.name for node in graph.nodes if node.op == "Const"}
    derived: list[NodeDef] = []
    for node in graph.nodes:
        inputs = data_inputs(node)
        if inputs and all(name.partition(":")[0] in known for name in inputs) and _pure(graph, node):
            known.add(node.name)
            derived.append(node)
    inner = {node.name for node in derived}
    read_outside = {t for n in graph.nodes if n.name not in inner for t in data_inputs(n)} | set(graph.outputs)
    wanted = [node.name for node in derived if f"{node.name}:0" in read_outside]
    if not wanted:
        return graph
    rewrite = Rewrite(graph)
    for name, value in zip(wanted, _evaluated(graph, wanted), strict=True):
        if value.nbytes <= _GROWTH + _bytes_behind(graph, name):
            rewrite.become_constant(name, value)
    return rewrite.finish()


def _pure(graph: Graph, node: NodeDef) -> bool:
    """Whether a node has one output, of numbers, that depends on its inputs alone."""
    definition = op_def_registry.get(node.op)
    if definition is None or definition.is_stateful or len(definition.output_arg) != 1:
        return False
    output = definition.output_arg[0]
    return not (output.number_attr or output.type_list_attr) and graph.dtype(f"{node.name}:0") in _NUMBERS


def _evaluated(graph: Graph, wanted: list[str]) -> list[np.ndarray]:
    tensors = tuple(f"{name}:0" for name in wanted)
    config = tf.compat.v1.ConfigProto(intra_op_parallelism_threads=1, inter_op_parallelism_threads=1)
    config.graph_options.rewrite_options.disable_meta_optimizer = True
    calculation = tf.Graph()
    with calculation.as_default():
        tf.import_graph_def(pruned(Graph(graph.proto, (), tensors)).proto, name="")
    with tf.compat.v1.Session(graph=calculation, config=config) as session:
        return [np.asarray(value) for value in session.run(list(tensors))]


def _bytes_behind(graph: Graph, name: str) -> int:
    total, stack, seen = 0, [name], {name}
    while stack:
        node = graph.by_name[stack.pop()]
        if node.op == "Const":
            value = graph.constant(f"{node.name}:0")
            total += value.nbytes if value is not None else 0
        for before in (t.partition(":")[0] for t in data_inputs(node)):
            if before not in seen:
                seen.add(before)
                stack.append(before)
    return total
