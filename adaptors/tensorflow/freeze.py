"""A traced function as one graph: variables become constants, calls are inlined, names are those of the layers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from autoq.adaptors.tensorflow.checks import check_interface
from autoq.adaptors.tensorflow.frozen import Frozen
from autoq.adaptors.tensorflow.graph import GraphDef, node_name
from autoq.adaptors.tensorflow.runtime import convert_variables_to_constants_v2, tf
from autoq.core.batch import TensorSpec
from autoq.core.errors import ModelError

SERVING = "serving_default"
"""The signature's name where a model has none of its own."""

FAILURES = (tf.errors.OpError, ValueError, TypeError, RuntimeError, KeyError, AttributeError, AssertionError)
"""What TensorFlow raises when it cannot load, trace or freeze a model."""

_CALL = re.compile(r"(Stateful)?PartitionedCall(_\d+)?")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_COUNTED = re.compile(r"_\d+$")
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

    Raises:
        ModelError: It has inputs or outputs that are no arrays, or its variables have no values.
    """
    _check_arrays(concrete, inputs, origin)
    try:
        function = convert_variables_to_constants_v2(concrete, lower_control_flow=False)
    except FAILURES as error:
        raise ModelError(
            f"the model cannot be frozen: {reason(error)}",
            where=origin,
            hint="variables must be initialised, and no state may change at inference",
        ) from error
    fed = tuple(tensor.name for tensor in function.inputs)
    fetched = tuple(tensor.name for tensor in function.outputs)
    if len(fed) > len(inputs):
        raise _resource(function, len(inputs), origin)
    if not fetched:
        raise ModelError("the model gives no tensor", where=origin)
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


def reason(error: BaseException) -> str:
    """The line of an error that says what is wrong."""
    text = _COLOUR.sub("", str(getattr(error, "message", "") or error))
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    # Keras says first which layer failed, and then why.
    said = " ".join(lines[:2]) if lines[0].startswith("Exception encountered") else lines[0]
    return said[:300]


def short_names(proto: GraphDef, kept: set[str]) -> GraphDef:
    """A copy of a graph whose names lack what loading and tracing put before and behind them.

    Inlining calls prepends their names (``StatefulPartitionedCall_1/``), tracing a Keras model prepends the model's,
    and Keras 3 numbers the scope of each layer. What a name keeps is its layer.

    Args:
        proto: A graph without calls.
        kept: Names of nodes that stay as they are.
    """
    names = {node.name: node.name for node in proto.node}
    for rule in (_without_calls, _without_model, _without_counters):
        names = _distinct(names, rule(proto, names, kept), kept)
    result = tf.compat.v1.GraphDef()
    result.CopyFrom(proto)
    for node in result.node:
        node.name = names[node.name]
        node.input[:] = [_renamed(name, names) for name in node.input]
        for key in _BOOKKEEPING:
            node.attr.pop(key, None)
    _number_functions(result)
    return result


def _number_functions(proto: GraphDef) -> None:
    """Name the bodies of loops and branches, and what they take, by their order: TensorFlow's names hold a counter."""
    for function in proto.library.function:
        arguments = {arg.name: f"argument_{i}" for i, arg in enumerate(function.signature.input_arg)}
        for arg in function.signature.input_arg:
            arg.name = arguments[arg.name]
        for node in function.node_def:
            node.input[:] = [arguments.get(name, name) for name in node.input]
        for key, name in list(function.ret.items()):
            function.ret[key] = arguments.get(name, name)
    names: dict[str, str] = {}
    by_name = {function.signature.name: function for function in proto.library.function}
    nodes = list(proto.node)
    # In the order they are called: that of the library follows the counters.
    for node in nodes:
        for name in (node.op, *(called.name for called in _called(node))):
            if name in by_name and name not in names:
                names[name] = f"function_{len(names)}"
                nodes.extend(by_name[name].node_def)
    ordered = [by_name[name] for name in names]
    for node in nodes:
        node.op = names.get(node.op, node.op)
        for called in _called(node):
            called.name = names.get(called.name, called.name)
    for function in ordered:
        function.signature.name = names[function.signature.name]
    library = type(proto.library)(function=ordered, gradient=proto.library.gradient)
    proto.library.CopyFrom(library)


def _called(node: Any) -> Iterator[Any]:
    """The functions a node's attributes name, by attribute."""
    for key in sorted(node.attr):
        value = node.attr[key]
        # Asking an attribute of another kind would make it a function.
        if value.HasField("func"):
            yield value.func
        elif value.HasField("list"):
            yield from value.list.func


def spec_of(name: str, tensor: Any) -> TensorSpec:
    """Name, type and shape of a ``tf.Tensor`` or ``tf.TensorSpec``."""
    shape = None if tensor.shape.rank is None else tuple(tensor.shape.as_list())
    return TensorSpec(name, tensor.dtype.base_dtype.name, shape)


Shorten = Callable[[str], str]


def _distinct(names: dict[str, str], shorten: Shorten, kept: set[str]) -> dict[str, str]:
    """Shorter names, where no other node has them."""
    shorter = {old: new if old in kept else shorten(new) for old, new in names.items()}
    taken = {new for old, new in names.items() if shorter[old] == new}
    result: dict[str, str] = {}
    for old, new in names.items():
        name = shorter[old] if shorter[old] == new or shorter[old] not in taken else new
        taken.add(name)
        result[old] = name
    return result


def _without_calls(_: GraphDef, names: dict[str, str], kept: set[str]) -> Shorten:
    del names, kept

    def shorten(name: str) -> str:
        parts = name.split("/")
        while len(parts) > 1 and _CALL.fullmatch(parts[0]):
            parts = parts[1:]
        return "/".join(parts)

    return shorten


def _without_model(proto: GraphDef, names: dict[str, str], kept: set[str]) -> Shorten:
    scopes = {names[node.name].partition("/")[0] for node in _working(proto, kept)}
    # A single scope is the model's, not a layer's, where there are scopes within.
    prefix = f"{scopes.pop()}/" if len(scopes) == 1 else None
    inner = [names[node.name].removeprefix(prefix or "") for node in _working(proto, kept)]
    if prefix is None or not any("/" in name for name in inner):
        return lambda name: name
    return lambda name: name.removeprefix(prefix)


def _without_counters(proto: GraphDef, names: dict[str, str], kept: set[str]) -> Shorten:
    top = {names[node.name].partition("/")[0] for node in _working(proto, kept) if "/" in names[node.name]}
    if not top or not all(_COUNTED.search(scope) for scope in top):
        return lambda name: name
    levels: dict[str, set[str]] = {}
    for name in names.values():
        parts = name.split("/")
        for depth in range(len(parts) - 1):
            levels.setdefault("/".join(parts[:depth]), set()).add(parts[depth])
    leaves = set(names.values())
    bare = {level: _uncounted(scopes, level, leaves) for level, scopes in levels.items()}

    def shorten(name: str) -> str:
        parts = name.split("/")
        scopes = [bare["/".join(parts[:depth])].get(part, part) for depth, part in enumerate(parts[:-1])]
        return "/".join([*scopes, parts[-1]])

    return shorten


def _uncounted(scopes: set[str], level: str, leaves: set[str]) -> dict[str, str]:
    """Scopes beside each other without the numbers at their ends, where they still differ then."""
    prefix = f"{level}/" if level else ""
    bare = {scope: _COUNTED.sub("", scope) for scope in scopes if prefix + scope not in leaves}
    while True:
        after = [bare.get(scope, scope) for scope in scopes]
        clear = {scope: name for scope, name in bare.items() if after.count(name) == 1}
        if len(clear) == len(bare):
            return clear
        bare = clear


def _working(proto: GraphDef, kept: set[str]) -> list[Any]:
    return [n for n in proto.node if n.name not in kept and n.op not in ("Const", "NoOp", "Identity", "Placeholder")]


def _renamed(name: str, names: dict[str, str]) -> str:
    node = node_name(name)
    return name.replace(node, names[node], 1)


def _resource(function: Any, inputs: int, origin: str) -> ModelError:
    """The refusal of a function that reads something which is neither input nor variable, e.g. a lookup table."""
    outside = {node_name(tensor.name) for tensor in function.inputs[inputs:]}
    nodes = function.graph.as_graph_def().node
    reader = next((n for n in nodes if any(node_name(i) in outside for i in n.input)), None)
    name = f"node '{reader.name}' ({reader.op}) reads" if reader is not None else "the model reads"
    return ModelError(
        f"{name} a table or another resource, which a frozen graph cannot hold",
        where=origin,
        hint="give the part of the model behind it",
    )


def _check_arrays(concrete: Any, inputs: Sequence[str], origin: str) -> None:
    args, kwargs = concrete.structured_input_signature
    for spec in (*tf.nest.flatten(args), *tf.nest.flatten(kwargs)):
        if isinstance(spec, (tf.SparseTensorSpec, tf.RaggedTensorSpec)):
            form = "sparse" if isinstance(spec, tf.SparseTensorSpec) else "ragged"
            raise ModelError(
                f"an input is {form} ({spec}), and only dense arrays can be calibrated",
                where=origin,
                hint="wrap the model in a function that takes dense tensors",
            )
    own = [t for t in concrete.inputs if t.dtype not in (tf.resource, tf.variant)]
    specs = tuple(spec_of(name, tensor) for name, tensor in zip(inputs, own, strict=False))
    check_interface(specs, "input", origin)
    outputs = tuple(spec_of(f"output_{i}", tensor) for i, tensor in enumerate(concrete.outputs))
    check_interface(outputs, "output", origin)
