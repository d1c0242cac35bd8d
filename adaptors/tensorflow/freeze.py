"""A traced function as one graph: variables become constants, calls are inlined, names are those of the layers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from autoq.adaptors.tensorflow.frozen import Frozen
from autoq.adaptors.tensorflow.graph import GraphDef, node_name
from autoq.adaptors.tensorflow.runtime import convert_variables_to_constants_v2, tf
from autoq.core.batch import TensorSpec

_CALL = re.compile(r"(Stateful)?PartitionedCall(_\d+)?")
_BOOKKEEPING = ("_class", "_output_shapes", "_XlaMustCompile", "_collective_manager_ids", "_read_only_resource_inputs")


def freeze(
    concrete: Any, inputs: Sequence[str], outputs: Sequence[str], signature: str, origin: str, notes: Iterable[str] = ()
) -> Frozen:
    """Freeze a concrete function.

    Args:
        concrete: ``tf.types.experimental.ConcreteFunction``.
        inputs: Name of each flat input.
        outputs: Name of each flat output.
        signature: Its name.
        origin: What is read, for messages.
        notes: What a user should know.
    """
    function = convert_variables_to_constants_v2(concrete)
    fed = tuple(tensor.name for tensor in function.inputs)
    fetched = tuple(tensor.name for tensor in function.outputs)
    proto = short_names(function.graph.as_graph_def(), {node_name(name) for name in (*fed, *fetched)})
    return Frozen(
        proto,
        tuple(spec_of(name, tensor) for name, tensor in zip(inputs, function.inputs, strict=True)),
        tuple(spec_of(name, tensor) for name, tensor in zip(outputs, function.outputs, strict=True)),
        fed,
        fetched,
        signature,
        origin,
        tuple(notes),
    )


def short_names(proto: GraphDef, kept: set[str]) -> GraphDef:
    """A copy of a graph whose names lack what loading puts before them.

    Inlining calls prepends their names (``StatefulPartitionedCall_1/``), tracing a Keras model prepends the model's,
    and both end in a counter of the process. What a name keeps is its layer.

    Args:
        proto: A graph without calls.
        kept: Names of nodes that stay as they are.
    """
    names = {node.name: node.name for node in proto.node}
    for shorten in (_without_calls, _without_model(proto, kept)):
        shorter = {old: new if old in kept else shorten(new) for old, new in names.items()}
        if len(set(shorter.values())) == len(shorter):
            names = shorter
    result = tf.compat.v1.GraphDef()
    result.CopyFrom(proto)
    for node in result.node:
        node.name = names[node.name]
        node.input[:] = [_renamed(name, names) for name in node.input]
        for key in _BOOKKEEPING:
            node.attr.pop(key, None)
    return result


def _without_calls(name: str) -> str:
    parts = name.split("/")
    while len(parts) > 1 and _CALL.fullmatch(parts[0]):
        parts = parts[1:]
    return "/".join(parts)


def _without_model(proto: GraphDef, kept: set[str]) -> Any:
    scopes = {
        _without_calls(node.name).partition("/")[0]
        for node in proto.node
        if node.name not in kept and node.op not in ("Const", "NoOp", "Identity")
    }
    prefix = f"{scopes.pop()}/" if len(scopes) == 1 else "\0"
    return lambda name: name.removeprefix(prefix)


def _renamed(name: str, names: dict[str, str]) -> str:
    node = node_name(name)
    return name.replace(node, names[node], 1)


def spec_of(name: str, tensor: Any) -> TensorSpec:
    """Name, type and shape of a ``tf.Tensor`` or ``tf.TensorSpec``."""
    shape = None if tensor.shape.rank is None else tuple(tensor.shape.as_list())
    return TensorSpec(name, tensor.dtype.base_dtype.name, shape)
