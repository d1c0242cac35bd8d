"""Reading a TensorFlow model in any of its forms."""

from __future__ import annotations

from autoq.adaptors.tensorflow.frozen import Frozen
from autoq.adaptors.tensorflow.keras_models import read_keras
from autoq.core.adaptor import ModelSource


def read(source: ModelSource) -> Frozen:
    """Freeze a model.

    Raises:
        ModelError: It cannot be read or frozen.
    """
    return read_keras(source.model, f"Keras model {source.model.name}")


def read_unchecked(source: ModelSource) -> Frozen:
    """Freeze a model that may be quantized already: to run it, not to quantize it.

    Raises:
        ModelError: It cannot be read or frozen.
    """
    return read(source)
