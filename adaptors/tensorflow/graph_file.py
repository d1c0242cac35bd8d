"""Frozen graphs: ``.pb`` files and ``GraphDef`` objects."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from autoq.adaptors.tensorflow.checks import check_graph
from autoq.adaptors.tensorflow.freeze import FAILURES, SERVING, reason
from autoq.adaptors.tensorflow.frozen import Frozen
from autoq.adaptors.tensorflow.graph import Graph, GraphDef, node_name, tensor_name
from autoq.adaptors.tensorflow.passes.rewrite import pruned
from autoq.adaptors.tensorflow.runtime import tf
from autoq.core.batch import TensorSpec
from autoq.core.errors import ModelError

_ENDS_NOTHING = frozenset({"Const", "NoOp", "Assert", "Placeholder", "PlaceholderWithDefault"})


def parse(path: Path) -> GraphDef:
    """Parse a frozen graph.

    Raises:
        ModelError: The file holds no graph.
    """
    proto = tf.compat.v1.GraphDef()
    try:
        proto.ParseFromString(path.read_bytes())
    except DecodeError as error:
        raise ModelError(
            "this is not a frozen TensorFlow graph, or it is truncated",
            where=str(path),
            hint="give a SavedModel folder, a .keras or .h5 model, or a frozen GraphDef",
        ) from error
    if not proto.node:
        raise ModelError("the graph has no nodes", where=str(path))
    return proto


def read_graph(proto: GraphDef, origin: str, outputs: Sequence[str] = ()) -> Frozen:
    """A frozen graph as it is: its placeholders are the inputs, what nothing reads are the outputs.

    Args:
        proto: The graph.
        origin: What is read, for messages.
        outputs: Tensors or nodes to compute instead.

    Raises:
        ModelError: It is not frozen, or does not load.
    """
    check_graph(proto, origin)
    missing = _dangling(proto)
    if missing is not None:
        raise ModelError(f"node '{missing[0]}' reads '{missing[1]}', which is not in the graph", where=origin)
    own = copied(proto)
    try:
        graph = Graph(own, (), ())
        types = {name: (graph.dtype(name), graph.shape(name)) for name in _tensors(graph, outputs)}
    except FAILURES as error:
        raise ModelError(f"the graph cannot be loaded: {reason(error)}", where=origin) from error
    wanted = tuple(name for name in types if name not in _fed(graph)) if not outputs else _named(outputs, types, origin)
    needed = pruned(Graph(own, (), wanted))
    fed = tuple(name for name in _fed(graph) if node_name(name) in needed.by_name)
    if not wanted or not fed:
        kind = "outputs" if fed else "inputs (placeholders)"
        raise ModelError(f"the graph has no {kind}", where=origin, hint="it may be a part of a model only")
    return Frozen(
        needed.proto,
        tuple(TensorSpec(node_name(n), graph.dtype(n), graph.shape(n)) for n in fed),
        tuple(TensorSpec(name, *types[n]) for name, n in zip(outputs or map(_short, wanted), wanted, strict=True)),
        fed,
        wanted,
        SERVING,
        origin,
    )


def copied(proto: GraphDef) -> GraphDef:
    """A copy of a graph without the shapes and places an exporter noted."""
    result = tf.compat.v1.GraphDef()
    result.CopyFrom(proto)
    for node in result.node:
        node.device = ""
        for key in ("_class", "_output_shapes"):
            node.attr.pop(key, None)
    return result


def _tensors(graph: Graph, outputs: Sequence[str]) -> list[str]:
    if outputs:
        return [t for t in map(tensor_name, outputs) if node_name(t) in graph.by_name]
    read = {node_name(name) for node in graph.proto.node for name in node.input}
    ends = [node for node in graph.nodes if node.name not in read and node.op not in _ENDS_NOTHING]
    return [*_fed(graph), *(f"{node.name}:0" for node in ends)]


def _fed(graph: Graph) -> list[str]:
    return [f"{node.name}:0" for node in graph.proto.node if node.op == "Placeholder"]


def _named(outputs: Sequence[str], types: Any, origin: str) -> tuple[str, ...]:
    for name in outputs:
        if tensor_name(name) not in types:
            raise ModelError(f"the graph has no node '{name}'", where=origin, hint="check model.outputs")
    return tuple(map(tensor_name, outputs))


def _short(tensor: str) -> str:
    return tensor.removesuffix(":0")


def _dangling(proto: GraphDef) -> tuple[str, str] | None:
    names = {node.name for node in proto.node}
    return next(((n.name, i) for n in proto.node for i in n.input if node_name(i) not in names), None)
