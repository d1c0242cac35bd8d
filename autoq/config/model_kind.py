"""What kind of model a path leads to, by what it is called or holds, and which frameworks read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath

_ONNX = ("onnxrt_qdq", "onnxrt_qlinearops", "onnxrt_integerops", "openvino")


@dataclass(frozen=True, slots=True)
class ModelKind:
    """One kind of model file or folder.

    Attributes:
        title: What it is, with its article, for messages.
        frameworks: Frameworks that read it, the usual one first.
        signatures: Whether it may hold several signatures.
    """

    title: str
    frameworks: tuple[str, ...]
    signatures: bool = False


SAVED_MODEL = ModelKind("a SavedModel", ("tensorflow", "tensorflow_lite"), signatures=True)

_KERAS = ModelKind("a Keras model", ("tensorflow", "tensorflow_lite"))

BY_SUFFIX: Mapping[str, ModelKind] = {
    ".onnx": ModelKind("an ONNX model", _ONNX),
    ".tflite": ModelKind("a LiteRT model", ("tensorflow_lite",), signatures=True),
    ".keras": _KERAS,
    ".h5": _KERAS,
    ".pb": ModelKind("a frozen TensorFlow graph", ("tensorflow", "tensorflow_lite")),
}
"""What a file is called that holds a model of one kind only."""

_PYTORCH = ModelKind("a PyTorch model", ("pytorch_fx", "pytorch_eager", "pytorch_pt2e"))
_TENSORFLOW = ModelKind("a TensorFlow model", ("tensorflow", "tensorflow_lite"))

BY_CLASS: Mapping[tuple[str, str], ModelKind] = {
    ("torch.nn.modules.module", "Module"): _PYTORCH,
    ("torch.export.exported_program", "ExportedProgram"): _PYTORCH,
    ("onnx.onnx_ml_pb2", "ModelProto"): BY_SUFFIX[".onnx"],
    ("keras.src.models.model", "Model"): _KERAS,
    ("tf_keras.src.engine.training", "Model"): _KERAS,
    ("tensorflow.python.trackable.base", "Trackable"): _TENSORFLOW,
    ("tensorflow.core.framework.graph_pb2", "GraphDef"): _TENSORFLOW,
}
"""Module and name of the class an object is of, for models handed over in Python."""


def kinds_of_object(model: object) -> tuple[ModelKind, ...]:
    """What a framework's own object is, told by its classes and so without importing the framework.

    Several where it is several things at once, as a Keras model is on Keras's PyTorch backend.
    """
    names = ((kind.__module__, kind.__qualname__) for kind in type(model).__mro__)
    return tuple(dict.fromkeys(BY_CLASS[name] for name in names if name in BY_CLASS))


def kind_of_name(path: str) -> ModelKind | None:
    """The kind that a path's name tells; None where it tells nothing. Looks at no file."""
    return BY_SUFFIX.get(PurePath(path).suffix.lower())


def kind_of_path(path: Path) -> ModelKind | None:
    """The kind of an existing file or folder, by its name or by what the folder holds."""
    if path.is_dir():
        if any((path / name).is_file() for name in ("saved_model.pb", "saved_model.pbtxt")):
            return SAVED_MODEL
        inside = {kind for suffix, kind in BY_SUFFIX.items() if suffix != ".pb" and any(path.glob(f"*{suffix}"))}
        return inside.pop() if len(inside) == 1 else None
    return kind_of_name(str(path))
