"""The public conformance suite on TensorFlow, with convolutional networks and a transformer."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import small_tf

from autoq.core.adaptor import ModelSource
from autoq.core.batch import Batch, Inputs, Outputs
from autoq.testing.adaptor_contract import AdaptorContract
from autoq.testing.outputs import named


@cache
def made(make: Callable[[], Any]) -> Any:
    """One model for all tests."""
    return make()


class TensorFlowContract(AdaptorContract):
    framework = "tensorflow"
    reference_tolerance = 1e-5
    loaded: ClassVar[dict[str, Any]] = {}

    @pytest.fixture
    def model(self, adaptor: Any, source: ModelSource) -> Any:
        # Loaded once: that loading it again gives the same is a test of its own.
        name = source.model.name
        if name not in self.loaded:
            self.loaded[name] = adaptor.load(source)
        return self.loaded[name]

    @pytest.fixture
    def keras_model(self) -> Any:
        raise NotImplementedError

    @pytest.fixture
    def source(self, keras_model: Any) -> ModelSource:
        return ModelSource(keras_model)

    @pytest.fixture
    def batches(self, keras_model: Any) -> list[Batch]:
        random = np.random.default_rng(3)
        shape = keras_model.inputs[0].shape[1:]
        return [Batch(random.standard_normal((3, *shape)).astype(np.float32), None, 3) for _ in range(4)]

    @pytest.fixture
    def broken_source(self, tmp_path_factory: pytest.TempPathFactory) -> ModelSource:
        path: Path = tmp_path_factory.mktemp("broken") / "model.keras"
        path.write_bytes(b"no model at all")
        return ModelSource(path)

    @pytest.fixture
    def reference(self, keras_model: Any, model: Any) -> Callable[[Inputs], Outputs]:
        (spec,) = model.outputs
        return lambda inputs: {spec.name: keras_model(*named(inputs, model).values(), training=False).numpy()}


class TestMobileNetwork(TensorFlowContract):
    @pytest.fixture
    def keras_model(self) -> Any:
        return made(small_tf.small_cnn)


class TestResidualNetwork(TensorFlowContract):
    @pytest.fixture
    def keras_model(self) -> Any:
        return made(small_tf.small_resnet)


class TestTransformer(TensorFlowContract):
    @pytest.fixture
    def keras_model(self) -> Any:
        return made(small_tf.small_transformer)
