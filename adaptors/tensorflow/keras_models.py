"""Keras models of Keras 3 and of tf_keras, as objects."""

from __future__ import annotations

import sys
from typing import Any

from autoq.adaptors.tensorflow.concrete import example_specs, names_of, unique
from autoq.adaptors.tensorflow.freeze import SERVING, freeze, reason
from autoq.adaptors.tensorflow.frozen import Frozen
from autoq.adaptors.tensorflow.runtime import tf
from autoq.core.adaptor import ModelSource
from autoq.core.errors import ModelError

_UNNAMED = "keras_tensor"
"""How Keras 3 calls an input that has no name, with a counter; saved and loaded again, it has that of its layer."""

_NO_TRACE_HINT = "check that model(inputs, training=False) works inside a tf.function"


def keras_package(model: Any) -> str | None:
    """``keras`` or ``tf_keras``, of whichever a model is; None for anything else."""
    for name in ("keras", "tf_keras"):
        package = sys.modules.get(name)
        if package is not None and isinstance(model, package.Model):
            return name
    return None


def read_keras(model: Any, source: ModelSource, origin: str) -> Frozen:
    """Freeze a Keras model's inference.

    Args:
        model: A built model.
        source: For the example that says what a subclassed model takes.
        origin: What is read, for messages.

    Raises:
        ModelError: It was never built, takes no dense arrays, is quantized, or cannot be traced.
    """
    _check_backend(model, origin)
    _check_float(model, origin)
    structure = _inputs(model, source, origin)
    flat = tf.nest.flatten(structure)
    names = _input_names(structure, flat)
    outputs: list[str] = []

    def inference(*args: Any) -> list[Any]:
        result = model(tf.nest.pack_sequence_as(structure, list(args)), training=False)
        outputs[:] = _output_names(model, result)
        return list(tf.nest.flatten(result))

    specs = [tf.TensorSpec(t.shape, t.dtype, name=_safe(name)) for name, t in zip(names, flat, strict=True)]
    try:
        concrete = tf.function(inference, autograph=False).get_concrete_function(*specs)
    except Exception as error:  # layers raise whatever they raise
        raise ModelError(f"the model cannot be traced: {reason(error)}", where=origin, hint=_NO_TRACE_HINT) from error
    return freeze(concrete, names, outputs, SERVING, origin)


def _inputs(model: Any, source: ModelSource, origin: str) -> Any:
    """What the model takes: its own structure of symbolic tensors or ``tf.TensorSpec``."""
    functional = getattr(model, "_functional", None) or model
    if getattr(functional, "inputs", None):
        structure = functional.input
        if functional is not model and functional.inputs[0].name.startswith(_UNNAMED):
            # A Sequential model without an Input has the batch size of its first call, which means nothing.
            first = functional.inputs[0]
            structure = tf.TensorSpec((None, *first.shape[1:]), first.dtype, first._keras_history.operation.name)
    else:
        structure = example_specs(source) or _specs_of_call(model)
        if structure is None:
            raise ModelError(
                "the model was never built, so what it takes is unknown",
                where=origin,
                hint="call it once, e.g. model(sample), before passing it, or give calibration data",
            )
        if isinstance(structure, list) and len(structure) == 1:
            structure = structure[0]
    for tensor in tf.nest.flatten(structure):
        name = getattr(tensor, "name", "")
        form = next((form for form in ("sparse", "ragged") if getattr(tensor, form, False)), None)
        composite = isinstance(getattr(tensor, "type_spec", None), (tf.SparseTensorSpec, tf.RaggedTensorSpec))
        if form or composite:
            raise ModelError(
                f"input '{name}' is {form or 'sparse or ragged'}, and only dense arrays can be calibrated",
                where=origin,
                hint="build the model with a dense Input",
            )
    return structure


def _specs_of_call(model: Any) -> Any:
    """What a subclassed model was called with, any batch; None when it never was."""
    if hasattr(model, "save_spec"):  # tf_keras
        spec = model.save_spec()
        return None if spec is None else spec[0][0] if len(spec[0]) == 1 else list(spec[0])
    shapes = getattr(model, "_build_shapes_dict", None)
    if not shapes or not all(_is_shape(shape) for shape in shapes.values()):
        return None
    specs = [tf.TensorSpec((None, *shape[1:]), model.input_dtype) for shape in shapes.values()]
    return specs[0] if len(specs) == 1 else specs


def _is_shape(shape: Any) -> bool:
    return isinstance(shape, (tuple, list)) and all(size is None or isinstance(size, int) for size in shape)


def _input_names(structure: Any, flat: list[Any]) -> list[str]:
    if isinstance(structure, dict) and len(structure) == len(flat):
        return sorted(structure)
    return unique([_own_name(tensor) or f"input_{i}" for i, tensor in enumerate(flat)])


def _own_name(tensor: Any) -> str:
    name = str(getattr(tensor, "name", None) or "")
    if name.startswith(_UNNAMED) and hasattr(tensor, "_keras_history"):
        return str(tensor._keras_history.operation.name)
    return name.partition(":")[0]


def _output_names(model: Any, result: Any) -> list[str]:
    functional = getattr(model, "_functional", None) or model
    own = getattr(functional, "output_names", None)
    if not isinstance(result, dict) and own and len(own) == len(tf.nest.flatten(result)):
        return unique(list(own))
    return names_of(result)


def _safe(name: str) -> str:
    """A name that a node may bear."""
    return "".join(c if c.isalnum() or c in "._-" else "_" for c in name).lstrip("_-") or "input"


def _check_backend(model: Any, origin: str) -> None:
    if keras_package(model) == "keras":
        backend = sys.modules["keras"].config.backend()
        if backend != "tensorflow":
            raise ModelError(
                f"Keras runs on {backend} here, and only models on TensorFlow can be frozen",
                where=origin,
                hint="set the environment variable KERAS_BACKEND=tensorflow before Keras is imported",
            )


def _check_float(model: Any, origin: str) -> None:
    layers = model._flatten_layers() if hasattr(model, "_flatten_layers") else model.layers
    for layer in layers:
        policy = getattr(getattr(layer, "dtype_policy", None), "quantization_mode", None)
        if policy:
            raise ModelError(
                f"the model is quantized already: layer '{layer.name}' is {policy}",
                where=origin,
                hint="give the float32 model it was made from",
            )
