"""What a graph must not hold to be run and quantized here, each named with the node that holds it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from autoq.adaptors.tensorflow.frozen import Frozen
from autoq.adaptors.tensorflow.graph import GraphDef, attribute
from autoq.adaptors.tensorflow.runtime import tf
from autoq.core.batch import TensorSpec
from autoq.core.errors import ModelError

_VARIABLES = frozenset({"VarHandleOp", "ReadVariableOp", "VariableV2", "Variable", "VarIsInitializedOp"})
_LOOPS = frozenset({"Enter", "RefEnter", "Exit", "RefExit", "NextIteration", "RefNextIteration", "LoopCond"})
_BRANCHES = frozenset({"Switch", "RefSwitch", "Merge", "RefMerge"})
_NESTED = frozenset({"While", "StatelessWhile", "If", "StatelessIf", "Case", "StatelessCase"})
_CALLS = frozenset({"PartitionedCall", "StatefulPartitionedCall", "XlaCallModule", "SymbolicGradient", "RemoteCall"})
_LAYERS = frozenset({"Conv2D", "DepthwiseConv2dNative", "MatMul", "BatchMatMulV2", "BatchMatMulV3"})
_HALF = {tf.float16.as_datatype_enum: "float16", tf.bfloat16.as_datatype_enum: "bfloat16"}
_PYTHON = frozenset({"PyFunc", "EagerPyFunc", "PyFuncStateless"})
_TABLES = ("HashTable", "MutableHashTable", "LookupTable", "AnonymousHashTable", "InitializeTable")
_QUANTIZED = (
    "Quantize",
    "Quantized",
    "_FusedQuantized",
    "_Quantized",
    "FakeQuant",
    "Dequantize",
    "Requantize",
    "Uniform",
)
_NOT_QUANTIZED = ("UniformCandidateSampler",)


def check_interface(specs: tuple[TensorSpec, ...], kind: str, origin: str) -> None:
    """Refuse inputs or outputs that are no arrays of numbers, or inputs of any rank.

    Args:
        specs: Inputs or outputs.
        kind: ``input`` or ``output``.
        origin: The model, for messages.

    Raises:
        ModelError: One of them is.
    """
    for spec in specs:
        if spec.dtype == "string":
            raise ModelError(
                f"{kind} '{spec.name}' is of strings, and only numbers can be calibrated and quantized",
                where=origin,
                hint="give the part of the model behind the text or file processing, and feed it numbers",
            )
        if spec.dtype in ("resource", "variant"):
            raise ModelError(f"{kind} '{spec.name}' is no array (its type is {spec.dtype})", where=origin)
        if kind == "input" and spec.shape is None:
            raise ModelError(
                f"input '{spec.name}' has no fixed number of axes",
                where=origin,
                hint="export the model with a shape for it, e.g. tf.TensorSpec([None, 224, 224, 3]); sizes may be None",
            )


def check_graph(proto: GraphDef, origin: str) -> None:
    """Refuse graphs that do not run by themselves.

    Raises:
        ModelError: It has variables without values, tables, or control flow of TensorFlow 1.
    """
    for node in proto.node:
        if node.op in _VARIABLES:
            raise ModelError(
                f"variable '{node.name}' has no value in this graph: it was not initialised, or the graph not frozen",
                where=origin,
                hint="initialise or load the model's variables first; for a .pb file, freeze it (or give a SavedModel)",
            )
        if node.op in _LOOPS or node.op in _BRANCHES:
            raise ModelError(
                f"node '{node.name}' ({node.op}) is control flow in TensorFlow 1's form, which cannot be quantized",
                where=origin,
                hint="export the model again with TensorFlow 2, or for a fixed branch or number of steps",
            )
        if node.op in _PYTHON:
            raise ModelError(
                f"node '{node.name}' ({node.op}) calls back into Python, which a frozen graph cannot hold",
                where=origin,
                hint="write it with TensorFlow's own ops, or give the part of the model without it",
            )
        if node.op.startswith(_TABLES):
            raise ModelError(
                f"node '{node.name}' ({node.op}) is a lookup table, which a frozen graph cannot hold",
                where=origin,
                hint="give the part of the model behind the table",
            )


def check_float(proto: GraphDef, origin: str) -> None:
    """Refuse a graph that is quantized already.

    Raises:
        ModelError: It is; the first such node is named.
    """
    for node in _all_nodes(proto):
        if node.op.startswith(_QUANTIZED) and not node.op.startswith(_NOT_QUANTIZED):
            raise ModelError(
                f"the model is quantized already: node '{node.name}' is a {node.op}",
                where=origin,
                hint="give the float32 model it was made from",
            )


def notes_on(frozen: Frozen) -> Iterator[str]:
    """What of a graph stays float32 for a reason a user would not see."""
    nested = [node for node in frozen.proto.node if node.op in _NESTED]
    if nested:
        names = ", ".join(f"'{node.name}'" for node in nested[:3]) + (", …" if len(nested) > 3 else "")
        yield f"control flow stays float32, and all within it: {names} ({nested[0].op.removeprefix('Stateless')})"
    calls = [node for node in frozen.proto.node if node.op in _CALLS]
    if calls:
        yield f"what '{calls[0].name}' ({calls[0].op}) calls could not be inlined and stays float32"
    layers = [node for node in frozen.proto.node if node.op in _LAYERS]
    channels_first = next((node for node in layers if attribute(node, "data_format").s == b"NCHW"), None)
    if channels_first is not None:
        yield f"convolutions in NCHW stay float32 ('{channels_first.name}'): export the model with channels last"
    half = next((node for node in layers if attribute(node, "T").type in _HALF), None)
    if half is not None:
        yield f"what computes in {_HALF[half.attr['T'].type]} stays so ('{half.name}'): give the model in float32"


def _all_nodes(proto: GraphDef) -> Iterator[Any]:
    yield from proto.node
    for function in proto.library.function:
        yield from function.node_def
