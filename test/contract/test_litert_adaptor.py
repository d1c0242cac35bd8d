"""The public conformance suite on LiteRT, with a convolutional network and a transformer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_tf

from autoq.adaptors.tensorflow_lite.convert import convert
from autoq.adaptors.tensorflow_lite.runtime import make_interpreter
from autoq.core.adaptor import ModelSource
from autoq.core.batch import Batch, Inputs, Outputs
from autoq.testing.adaptor_contract import AdaptorContract
from autoq.testing.outputs import named


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The models, converted once."""
    folder = tmp_path_factory.mktemp("litert")
    found = {}
    for name, made in (("cnn", small_tf.small_cnn), ("transformer", small_tf.small_transformer)):
        found[name] = folder / f"{name}.tflite"
        found[name].write_bytes(convert(ModelSource(made()))[0])
    return found


class LiteRtContract(AdaptorContract):
    framework = "tensorflow_lite"
    name = ""

    @pytest.fixture
    def source(self, files: dict[str, Path]) -> ModelSource:
        return ModelSource(files[self.name])

    @pytest.fixture
    def batches(self, model: Any) -> list[Batch]:
        random = np.random.default_rng(3)
        (spec,) = model.inputs
        shape = [3 if s is None else s for s in spec.shape]
        return [Batch({spec.name: random.standard_normal(shape).astype(np.float32)}, None, 3) for _ in range(4)]

    @pytest.fixture
    def broken_source(self, tmp_path_factory: pytest.TempPathFactory) -> ModelSource:
        path: Path = tmp_path_factory.mktemp("broken") / "model.tflite"
        path.write_bytes(b"no model at all")
        return ModelSource(path)

    @pytest.fixture
    def reference(self, source: ModelSource, model: Any) -> Callable[[Inputs], Outputs]:
        interpreter = make_interpreter(source.model.read_bytes(), 1)
        runner = interpreter.get_signature_runner("serving_default")
        return lambda inputs: dict(runner(**named(inputs, model)))


class TestConvolutionalNetwork(LiteRtContract):
    name = "cnn"


class TestTransformer(LiteRtContract):
    name = "transformer"
