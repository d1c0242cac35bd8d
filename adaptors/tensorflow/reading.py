"""Reading a TensorFlow model in any of its forms."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from autoq.adaptors.tensorflow.checks import check_float, check_graph, check_interface, notes_on
from autoq.adaptors.tensorflow.concrete import is_function, read_function, read_module, read_signatures
from autoq.adaptors.tensorflow.frozen import Frozen
from autoq.adaptors.tensorflow.graph_file import parse, read_graph
from autoq.adaptors.tensorflow.keras_files import is_keras_file, read_keras_file
from autoq.adaptors.tensorflow.keras_models import keras_package, read_keras
from autoq.adaptors.tensorflow.runtime import tf
from autoq.adaptors.tensorflow.saved_model import is_saved_model, read_saved_model
from autoq.adaptors.tensorflow.selection import select
from autoq.core.adaptor import ModelSource
from autoq.core.errors import AutoqError, ModelError
from autoq.core.quiet import quiet, silent_stderr

_FORMS = "a SavedModel folder, a .keras or .h5 model, or a frozen .pb graph"


def read(source: ModelSource) -> Frozen:
    """Freeze a float32 model.

    Args:
        source: A path or an object: Keras model, SavedModel, frozen graph, ``tf.function``, ``tf.Module``. Option
            ``signature`` chooses one of several; inputs and outputs choose and order those of the signature, and an
            output may be any tensor of the graph.

    Raises:
        ModelError: It cannot be read or frozen, is quantized already, or cannot be quantized here.
    """
    frozen = read_unchecked(source)
    check_float(frozen.proto, frozen.origin)
    return frozen


def read_unchecked(source: ModelSource) -> Frozen:
    """Freeze a model that may be quantized already: to run it, not to quantize it.

    Raises:
        ModelError: It cannot be read or frozen, or does not run by itself.
    """
    with _undisturbed():
        frozen = _read(source)
        frozen = select(frozen, source.inputs, () if _is_graph(source.model) else source.outputs)
        check_graph(frozen.proto, frozen.origin)
        check_interface(frozen.inputs, "input", frozen.origin)
        check_interface(frozen.outputs, "output", frozen.origin)
    return replace(frozen, notes=(*frozen.notes, *notes_on(frozen)))


def _read(source: ModelSource) -> Frozen:
    model = source.model
    if isinstance(model, (str, os.PathLike)):
        return _read_path(Path(model), source)
    if isinstance(model, tf.Graph):
        model = model.as_graph_def()
    if isinstance(model, tf.compat.v1.GraphDef):
        return read_graph(model, "GraphDef", source.outputs)
    origin = f"{type(model).__name__} '{getattr(model, 'name', '')}'".removesuffix(" ''")
    if keras_package(model) is not None:
        return read_keras(model, source, origin)
    if is_function(model):
        return read_function(model, source, f"function {_name(model)}")
    if getattr(model, "signatures", None) is not None:
        return read_signatures(model.signatures, source, "loaded SavedModel")
    if isinstance(model, tf.Module):
        return read_module(model, source, origin)
    raise ModelError(
        f"{type(model).__module__}.{type(model).__qualname__} is no TensorFlow model",
        hint=f"pass a Keras model, a tf.function with an input_signature, a tf.Module, or the path of {_FORMS}",
    )


def _read_path(path: Path, source: ModelSource) -> Frozen:
    if not path.exists():
        raise ModelError("there is no such model file", where=str(path), hint="check model.path")
    if path.is_dir():
        return _read_folder(path, source)
    try:
        with path.open("rb") as file:
            head = file.read(64)
    except OSError as error:
        raise ModelError(f"the model cannot be read: {error.strerror}", where=str(path)) from error
    if not head:
        raise ModelError("the model file is empty", where=str(path))
    if path.name == "saved_model.pb":
        return read_saved_model(path.parent, source)
    if is_keras_file(path, head):
        return read_keras_file(path, source)
    hint = _other_kind(path, head)
    if hint is not None:
        raise ModelError("this is not a TensorFlow model", where=str(path), hint=hint)
    return read_graph(parse(path), str(path), source.outputs)


def _read_folder(path: Path, source: ModelSource) -> Frozen:
    if is_saved_model(path):
        return read_saved_model(path, source)
    if any(path.glob("*.index")):
        raise ModelError("the folder holds a checkpoint, which is weights only", where=str(path), hint=f"give {_FORMS}")
    found = sorted(f for f in path.iterdir() if f.suffix.lower() in (".keras", ".h5", ".pb"))
    if len(found) != 1:
        names = ", ".join(sorted(f.name for f in path.iterdir())[:6]) or "nothing"
        raise ModelError(f"the folder is no SavedModel; it holds: {names}", where=str(path), hint=f"give {_FORMS}")
    return _read_path(found[0], source)


def _other_kind(path: Path, head: bytes) -> str | None:
    if head[4:8] == b"TFL3" or path.suffix == ".tflite":
        return "it is a LiteRT model: set framework to tensorflow_lite"
    known = {
        b"\x80": "it looks like a Python pickle; save the model as a SavedModel",
        b"version https://git-lfs": "it is a Git LFS pointer; run `git lfs pull`",
    }
    if path.suffix == ".onnx":
        return "it is an ONNX model: set framework to onnxrt_qdq"
    return next((hint for magic, hint in known.items() if head.startswith(magic)), None)


def _is_graph(model: Any) -> bool:
    """Whether `_read` has chosen the outputs already."""
    if isinstance(model, (tf.Graph, tf.compat.v1.GraphDef)):
        return True
    return (
        isinstance(model, (str, os.PathLike)) and Path(model).suffix == ".pb" and Path(model).name != "saved_model.pb"
    )


def _name(function: Any) -> str:
    name = getattr(function, "__name__", None) or getattr(function, "name", "")
    return f"'{name}'"


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Without what TensorFlow and Keras print, log and warn of; what is wrong comes as our own error."""
    failure: AutoqError | None = None
    with quiet("absl", "tensorflow"), warnings.catch_warnings(), silent_stderr():
        warnings.simplefilter("ignore")
        try:
            yield
        except AutoqError as error:
            failure = error
    if failure is not None:
        raise failure
