"""From a TensorFlow model to a float ``.tflite`` file."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from autoq.adaptors.tensorflow.frozen import Frozen
from autoq.adaptors.tensorflow.passes import fold
from autoq.adaptors.tensorflow.reading import read
from autoq.adaptors.tensorflow.runtime import silent_stderr, tf
from autoq.adaptors.tensorflow_lite.graph import parse, write
from autoq.adaptors.tensorflow_lite.names import short_names, unique_names
from autoq.core.adaptor import ModelSource
from autoq.core.errors import ModelError

_UNSUPPORTED = re.compile(r"(?:Flex|TF Select|Custom) ops: ([^\n]+)")
_FAILED = re.compile(r"'tf\.(\w+)' op")
_RECURRENT = "TensorList"
"""What recurrent layers keep their steps in, where they are exported as loops."""


def convert(source: ModelSource) -> tuple[bytes, tuple[str, ...]]:
    """Read and convert a model; its file, and what a user should know.

    Raises:
        ModelError: It cannot be read, or has ops that LiteRT lacks.
    """
    frozen = read(source)
    return convert_frozen(frozen), frozen.notes


def convert_frozen(frozen: Frozen) -> bytes:
    """The float ``.tflite`` file of a frozen graph, with the graph's own signature.

    Raises:
        ModelError: It has ops that LiteRT lacks.
    """
    proto = fold(frozen).proto
    graph = tf.Graph()
    with graph.as_default():
        tf.import_graph_def(proto, name="")
    fed, fetched = (
        [graph.get_tensor_by_name(n) for n in names] for names in (frozen.input_tensors, frozen.output_tensors)
    )
    failure: Exception | None = None
    with silent_stderr(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            content = bytes(tf.compat.v1.lite.TFLiteConverter(proto, fed, fetched).convert())
        except Exception as error:  # noqa: BLE001  raised below, where standard error is whole again
            failure = error
    if failure is not None:
        raise _conversion_error(failure, frozen) from failure
    model = parse(content)
    subgraph = model.subgraphs[0]
    outputs = [spec.name for spec in frozen.outputs]
    short_names(model, dict(zip((int(i) for i in subgraph.outputs), outputs, strict=True)))
    unique_names(model)
    model.signatureDefs = [
        _signature(frozen.signature, [s.name for s in frozen.inputs], outputs, subgraph.inputs, subgraph.outputs)
    ]
    return write(model)


def _signature(
    key: str, inputs: Sequence[str], outputs: Sequence[str], fed: Sequence[int], fetched: Sequence[int]
) -> Any:
    def entries(names: Sequence[str], tensors: Sequence[int]) -> list[Any]:
        return [_entry(name, int(tensor)) for name, tensor in zip(names, tensors, strict=True)]

    signature = schema.SignatureDefT()
    signature.signatureKey = key.encode()
    signature.inputs, signature.outputs = entries(inputs, fed), entries(outputs, fetched)
    signature.subgraphIndex = 0
    return signature


def _entry(name: str, tensor: int) -> Any:
    entry = schema.TensorMapT()
    entry.name, entry.tensorIndex = name.encode(), tensor
    return entry


def _conversion_error(error: Exception, frozen: Frozen) -> ModelError:
    text = str(error)
    listed = [name.strip() for names in _UNSUPPORTED.findall(text) for name in names.split(",")]
    ops = ", ".join(dict.fromkeys([*listed, *_FAILED.findall(text)]))
    if _RECURRENT in ops:
        return ModelError(
            f"{frozen.origin} has recurrent layers exported as loops, which are not quantized",
            where=ops,
            hint="build the recurrent layers with unroll=True and a fixed number of steps",
        )
    if ops:
        half = _half_precision(frozen)
        cure = "give the model in float32" if half else "replace them by others"
        return ModelError(
            f"{frozen.origin} has ops that LiteRT lacks{half}: {ops}",
            where=ops,
            hint=f"{cure}, or tune the model for framework tensorflow",
        )
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return ModelError(f"{frozen.origin} cannot be converted to LiteRT: {' '.join(lines)[:300] or type(error).__name__}")


def _half_precision(frozen: Frozen) -> str:
    """In which half precision the model computes, in words: LiteRT has most ops in float32 only."""
    types = {node.attr["T"].type for node in frozen.proto.node if "T" in node.attr}
    names = [t.name for t in (tf.float16, tf.bfloat16) if t.as_datatype_enum in types]
    return f" in {' and '.join(names)}" if names else ""
