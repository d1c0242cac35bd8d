"""Keras models as files: ``.keras`` archives and ``.h5``, of Keras 3 and of tf_keras."""

from __future__ import annotations

import json
import re
import zipfile
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from autoq.adaptors.tensorflow.freeze import reason
from autoq.adaptors.tensorflow.frozen import Frozen
from autoq.adaptors.tensorflow.keras_models import read_keras
from autoq.core.adaptor import ModelSource
from autoq.core.errors import ModelError

_ZIP, _HDF5 = b"PK\x03\x04", b"\x89HDF\r\n\x1a\n"

_CUSTOM = (
    r"Could not locate (?:class|function) '([^']+)'",
    r"Cannot deserialize object of type `([^`]+)`",
    r"Unknown (?:layer|object|loss function|metric|activation function): '?([\w>]+)'?",
)
"""How Keras 3, and tf_keras from its two kinds of files, say that a class is not theirs."""


def is_keras_file(path: Path, head: bytes) -> bool:
    """Whether a file's first bytes, or its name, are those of a Keras model."""
    return head.startswith((_ZIP, _HDF5)) or path.suffix.lower() in (".keras", ".h5", ".hdf5")


def read_keras_file(path: Path, source: ModelSource) -> Frozen:
    """Freeze a Keras model in a file, read by the Keras that wrote it.

    Raises:
        ModelError: It is damaged, holds only weights, needs another Keras or classes of its own, or cannot be frozen.
    """
    version = _archive_version(path) if zipfile.is_zipfile(path) else _hdf5_version(path)
    package = "tf_keras" if version and _major(version) < 3 else "keras"
    if find_spec(package) is None:
        raise ModelError(
            f"the model was saved by Keras {version}, which is tf_keras today, and tf_keras is not installed",
            where=str(path),
            hint="pip install tf_keras, or save the model again with Keras 3",
        )
    keras = import_module(package)
    try:
        model = keras.models.load_model(path, compile=False)
    except Exception as error:  # Keras raises whatever its layers raise
        raise _refused(path, error, version, keras.__version__) from error
    return read_keras(model, source, str(path))


def _archive_version(path: Path) -> str | None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
            data = json.loads(archive.read("metadata.json")) if "metadata.json" in names else {}
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise ModelError(f"the .keras archive is damaged: {reason(error)}", where=str(path)) from error
    if "config.json" not in names:
        hint = "it may be a PyTorch checkpoint" if any(name.endswith("data.pkl") for name in names) else None
        raise ModelError("the archive holds no Keras model", where=str(path), hint=hint)
    return data.get("keras_version") if isinstance(data, dict) else None


def _hdf5_version(path: Path) -> str | None:
    h5py: Any = import_module("h5py")
    try:
        with h5py.File(path, "r") as file:
            version, config = file.attrs.get("keras_version"), file.attrs.get("model_config")
    except OSError as error:
        kind = ".keras archive" if path.suffix.lower() == ".keras" else "HDF5 file"
        raise ModelError(f"the {kind} is damaged or truncated: {reason(error)}", where=str(path)) from error
    if config is None:
        raise ModelError(
            "the file holds weights only, and no model", where=str(path), hint="save the whole model: model.save(...)"
        )
    return version.decode() if isinstance(version, bytes) else version


def _major(version: str) -> int:
    digits = re.match(r"\d+", version)
    return int(digits[0]) if digits else 3


def _refused(path: Path, error: Exception, version: str | None, installed: str) -> ModelError:
    text = str(error)
    custom = next(filter(None, (re.search(pattern, text) for pattern in _CUSTOM)), None)
    if custom:
        return ModelError(
            f"the model uses '{custom[1]}', which is not a part of Keras and cannot be loaded from a file alone",
            where=str(path),
            hint="pass the model as an object: load it with custom_objects, or through a factory in model.name",
        )
    if "Lambda" in text or "lambda" in text or "safe_mode" in text:
        return ModelError(
            "the model has a Lambda layer, whose Python code is not run from a file",
            where=str(path),
            hint="if you trust it, load it with safe_mode=False and pass the object; better, replace the layer",
        )
    newer = version is not None and _numbers(version) > _numbers(installed)
    return ModelError(
        f"Keras {installed} cannot load the model, which Keras {version or '(unknown)'} saved: {reason(error)}",
        where=str(path),
        hint=f"install Keras {version}" if newer else "load it where it was saved, and save it again or export it",
    )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])
