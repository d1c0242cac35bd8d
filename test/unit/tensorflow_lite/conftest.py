"""Small float models for LiteRT, converted once, and data for them."""

from __future__ import annotations

import numpy as np
import pytest
import small_tf

from autoq.adaptors.tensorflow_lite.calibrator import collect
from autoq.adaptors.tensorflow_lite.convert import convert
from autoq.adaptors.tensorflow_lite.model import LiteModel
from autoq.adaptors.tensorflow_lite.ranges import observable
from autoq.adaptors.tensorflow_lite.reading import load
from autoq.core.adaptor import ModelSource
from autoq.core.batch import Batch
from autoq.core.statistics import Calibration, Needs


@pytest.fixture(scope="package")
def cnn_file() -> bytes:
    """The ``.tflite`` file of the small CNN."""
    return convert(ModelSource(small_tf.small_cnn()))[0]


@pytest.fixture(scope="package")
def cnn(cnn_file: bytes) -> LiteModel:
    """The small CNN: `image`, ``[?, 16, 16, 3]``, to `scores`."""
    return load(ModelSource(cnn_file))


@pytest.fixture(scope="package")
def transformer() -> LiteModel:
    """The small transformer: `tokens`, ``[?, 6, 16]``, to `scores`."""
    return load(ModelSource(small_tf.small_transformer()))


@pytest.fixture(scope="package")
def pictures() -> np.ndarray:
    """``[8, 16, 16, 3]``."""
    return small_tf.pictures(8)


@pytest.fixture(scope="package")
def calibration(cnn: LiteModel, pictures: np.ndarray) -> Calibration:
    """Statistics of the CNN."""
    return collect(cnn, [Batch(pictures, None, 8)], Needs(observable(cnn, cnn.ops_by_id)))


@pytest.fixture(scope="package")
def token_calibration(transformer: LiteModel) -> Calibration:
    """Statistics of the transformer."""
    batch = Batch(small_tf.sequences(8), None, 8)
    return collect(transformer, [batch], Needs(observable(transformer, transformer.ops_by_id)))
