"""SavedModels: a graph under the signature of the model it was made of, and what autoq knows of it.

What is written holds no variables and no functions, and is read back as it is: a graph that went through TensorFlow's
loader again would have other names.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from autoq.adaptors.tensorflow.frozen import Frozen
from autoq.adaptors.tensorflow.graph import GraphDef
from autoq.adaptors.tensorflow.reading import read_unchecked
from autoq.adaptors.tensorflow.runtime import SavedModel, tf
from autoq.core.adaptor import ModelSource
from autoq.core.batch import TensorSpec
from autoq.core.errors import ModelError, StoreError

SAVED_MODEL = "saved_model.pb"
DESCRIPTION = "autoq.json"
_METHOD = "tensorflow/serving/predict"


@dataclass(frozen=True, eq=False)
class Saved:
    """A saved model, read back.

    Attributes:
        frozen: Its graph and signature.
        record: What was given to `save`; None for a model autoq did not write.
        size_bytes: Bytes of its files.
    """

    frozen: Frozen
    record: Mapping[str, Any] | None
    size_bytes: int


def save(proto: GraphDef, frozen: Frozen, folder: Path, record: Mapping[str, Any] | None = None) -> tuple[str, ...]:
    """Write a SavedModel that ``tf.saved_model.load`` and TensorFlow Serving load.

    Args:
        proto: A graph with the fed and fetched tensors of `frozen`.
        frozen: The model it was made of, for the signature: names, types and shapes, any batch where it took any.
        folder: Made when it does not exist.
        record: What else to keep beside it, as plain data.

    Returns:
        The files, relative to the folder.

    Raises:
        StoreError: It cannot be written.
    """
    description = {
        **(record or {}),
        "signature": frozen.signature,
        "inputs": [spec.name for spec in frozen.inputs],
        "outputs": [spec.name for spec in frozen.outputs],
        "tensorflow": tf.__version__,
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / SAVED_MODEL).write_bytes(_saved_model(proto, frozen).SerializeToString(deterministic=True))
        # TensorFlow Serving and older loaders look for the folder, also where there are no variables.
        (folder / "variables").mkdir(exist_ok=True)
        (folder / DESCRIPTION).write_text(json.dumps(description, indent=1), encoding="utf-8")
    except OSError as error:
        raise StoreError(f"the model cannot be written: {error.strerror}", where=str(folder)) from error
    except ValueError as error:
        raise StoreError(
            f"the model cannot be written: {error}",
            where=str(folder),
            hint="a SavedModel's graph holds at most 2 GB",
        ) from error
    return (SAVED_MODEL, DESCRIPTION)


def load(path: Path) -> Saved:
    """Read what `save` wrote, or any model in a form the adaptor reads.

    Raises:
        ModelError: It cannot be read.
    """
    if not (path / DESCRIPTION).is_file():
        return Saved(read_unchecked(ModelSource(path)), None, _bytes(path))
    try:
        record = json.loads((path / DESCRIPTION).read_text(encoding="utf-8"))
        model = SavedModel.FromString((path / SAVED_MODEL).read_bytes())
        frozen = _frozen(model.meta_graphs[0], record, str(path))
    except OSError as error:
        raise ModelError(f"the saved model cannot be read: {error.strerror}", where=str(path)) from error
    except (DecodeError, AttributeError, ValueError, KeyError, IndexError, TypeError) as error:
        raise ModelError(
            f"the saved model is damaged: {error}", where=str(path), hint="save it again from the run it came from"
        ) from error
    return Saved(frozen, record, _bytes(path))


def _saved_model(proto: GraphDef, frozen: Frozen) -> Any:
    model = SavedModel(saved_model_schema_version=1)
    meta = model.meta_graphs.add()
    meta.meta_info_def.tags.append("serve")
    meta.meta_info_def.tensorflow_version = tf.__version__
    meta.graph_def.CopyFrom(proto)
    signature = meta.signature_def[frozen.signature]
    signature.method_name = _METHOD
    for spec, tensor in zip(frozen.inputs, frozen.input_tensors, strict=True):
        _describe(signature.inputs[spec.name], spec, tensor)
    for spec, tensor in zip(frozen.outputs, frozen.output_tensors, strict=True):
        _describe(signature.outputs[spec.name], spec, tensor)
    return model


def _describe(info: Any, spec: TensorSpec, tensor: str) -> None:
    info.name = tensor
    info.dtype = tf.as_dtype(spec.dtype).as_datatype_enum
    shape = tf.TensorShape(
        [axis if isinstance(axis, int) else None for axis in spec.shape] if spec.shape is not None else None
    )
    info.tensor_shape.CopyFrom(shape.as_proto())


def _frozen(meta: Any, record: Mapping[str, Any], origin: str) -> Frozen:
    signature = meta.signature_def[record["signature"]]
    inputs = [(name, signature.inputs[name]) for name in record["inputs"]]
    outputs = [(name, signature.outputs[name]) for name in record["outputs"]]
    return Frozen(
        meta.graph_def,
        tuple(_spec(name, info) for name, info in inputs),
        tuple(_spec(name, info) for name, info in outputs),
        tuple(info.name for _, info in inputs),
        tuple(info.name for _, info in outputs),
        record["signature"],
        origin,
    )


def _spec(name: str, info: Any) -> TensorSpec:
    shape = tf.TensorShape(info.tensor_shape)
    sizes = None if shape.rank is None else tuple(shape.as_list())
    return TensorSpec(name, tf.as_dtype(info.dtype).name, sizes)


def _bytes(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else (path,)
    return sum(file.stat().st_size for file in files if file.is_file())
