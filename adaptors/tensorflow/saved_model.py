"""SavedModel folders."""

from __future__ import annotations

import re
from pathlib import Path

from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from autoq.adaptors.tensorflow.concrete import read_signatures
from autoq.adaptors.tensorflow.freeze import FAILURES, reason
from autoq.adaptors.tensorflow.frozen import Frozen
from autoq.adaptors.tensorflow.runtime import tf
from autoq.core.adaptor import ModelSource
from autoq.core.errors import ModelError

FILES = ("saved_model.pb", "saved_model.pbtxt")


def is_saved_model(path: Path) -> bool:
    """Whether a folder holds a SavedModel."""
    return any((path / name).is_file() for name in FILES)


def read_saved_model(path: Path, source: ModelSource) -> Frozen:
    """Freeze a signature of a SavedModel.

    Raises:
        ModelError: It cannot be loaded, has several signatures and none is chosen, or cannot be frozen.
    """
    try:
        loaded = tf.saved_model.load(str(path))
    except (*FAILURES, OSError, IndexError, DecodeError) as error:
        raise _refused(path, error) from error
    return read_signatures(loaded.signatures, source, str(path))


def _refused(path: Path, error: Exception) -> ModelError:
    said = reason(error)
    unknown = re.search(r"Op type not registered '([^']+)'", str(error))
    if unknown:
        return ModelError(
            f"the SavedModel uses the op '{unknown[1]}', which this TensorFlow does not know",
            where=str(path),
            hint="custom ops cannot be quantized; export the model without it",
        )
    variables = path / "variables" / "variables.index"
    if not variables.is_file() or "variables" in said:
        return ModelError(
            f"the SavedModel's variables cannot be read: {said}",
            where=str(path),
            hint="copy the whole folder, with its 'variables' folder",
        )
    return ModelError(
        f"the SavedModel cannot be loaded; it is damaged or incomplete: {said}",
        where=str(path),
        hint="check that tf.saved_model.load takes it, or export it again",
    )
