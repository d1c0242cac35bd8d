"""The public conformance suite on the three ONNX Runtime backends."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from autoq.core.adaptor import ModelSource
from autoq.core.batch import Batch, Inputs, Outputs
from autoq.testing.adaptor_contract import AdaptorContract
from autoq.testing.outputs import named


class OnnxContract(AdaptorContract):
    model_fixture = "cnn"

    @pytest.fixture
    def source(self, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ModelSource:
        path = tmp_path_factory.mktemp("source") / "model.onnx"
        onnx.save(request.getfixturevalue(self.model_fixture), path)
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
        session = ort.InferenceSession(source.model, providers=["CPUExecutionProvider"])
        names = [o.name for o in session.get_outputs()]
        return lambda inputs: dict(zip(names, session.run(None, dict(named(inputs, model))), strict=True))


class TestQdq(OnnxContract):
    framework = "onnxrt_qdq"


class TestQlinearops(OnnxContract):
    framework = "onnxrt_qlinearops"


class TestIntegerops(OnnxContract):
    framework = "onnxrt_integerops"
    model_fixture = "transformer"


class TestQdqOnATransformer(OnnxContract):
    framework = "onnxrt_qdq"
    model_fixture = "transformer"
