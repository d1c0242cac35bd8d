"""The public conformance suite on OpenVINO, with a convolutional network and a transformer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import small_graphs
from onnx import ModelProto

from autoq.adaptors.openvino.runtime import core
from autoq.core.adaptor import ModelSource
from autoq.core.batch import Batch, Inputs, Outputs
from autoq.testing.adaptor_contract import AdaptorContract
from autoq.testing.outputs import named


class OpenVinoContract(AdaptorContract):
    framework = "openvino"

    @pytest.fixture
    def proto(self) -> ModelProto:
        raise NotImplementedError

    @pytest.fixture
    def source(self, proto: ModelProto, tmp_path_factory: pytest.TempPathFactory) -> ModelSource:
        path = tmp_path_factory.mktemp("source") / "model.onnx"
        onnx.save(proto, path)
        return ModelSource(path)

    @pytest.fixture
    def batches(self, model: Any) -> list[Batch]:
        random = np.random.default_rng(3)
        (spec,) = model.inputs
        shape = [3 if isinstance(s, str) else s for s in spec.shape]
        return [Batch({spec.name: random.standard_normal(shape).astype(np.float32)}, None, 3) for _ in range(4)]

    @pytest.fixture
    def broken_source(self, tmp_path_factory: pytest.TempPathFactory) -> ModelSource:
        path: Path = tmp_path_factory.mktemp("broken") / "model.onnx"
        path.write_bytes(b"no model at all")
        return ModelSource(path)

    @pytest.fixture
    def reference(self, source: ModelSource, model: Any) -> Callable[[Inputs], Outputs]:
        settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
        compiled = core().compile_model(source.model, "CPU", settings)
        names = [spec.name for spec in model.outputs]
        return lambda inputs: {name: compiled(dict(named(inputs, model)))[name] for name in names}


class TestConvolutionalNetwork(OpenVinoContract):
    @pytest.fixture
    def proto(self) -> ModelProto:
        return small_graphs.small_cnn()


class TestTransformer(OpenVinoContract):
    @pytest.fixture
    def proto(self) -> ModelProto:
        return small_graphs.encoder()
