from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from autoq.core.adaptor import ModelSource
from autoq.core.batch import Batch, Inputs, Outputs
from autoq.testing.adaptor_contract import AdaptorContract
from autoq.testing.toy import ToyModel, ToyOp


class TestToyAdaptor(AdaptorContract):
    framework = "toy"

    @pytest.fixture
    def model_options(self) -> dict[str, float]:
        return {}

    @pytest.fixture
    def source(self, tmp_path_factory: pytest.TempPathFactory, model_options: dict[str, float]) -> ModelSource:
        groups = {2: "pair", 3: "pair"}
        faults = {5: "refuse"}
        ops = (ToyOp(f"op{i}", noise=0.1 * i, group=groups.get(i), fault=faults.get(i), drift=0.01) for i in range(6))
        path = tmp_path_factory.mktemp("toy") / "toy.json"
        ToyModel(tuple(ops), **model_options).save(path)
        return ModelSource(path)

    @pytest.fixture
    def batches(self) -> list[Batch]:
        margins = np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4, 1)
        return [Batch({"margin": m}, None, 4) for m in margins]

    @pytest.fixture
    def broken_source(self, tmp_path: Path) -> ModelSource:
        path = tmp_path / "truncated.json"
        path.write_text('{"ops": [')
        return ModelSource(path)

    @pytest.fixture
    def reference(self) -> Callable[[Inputs], Outputs]:
        def run(inputs: Inputs) -> Outputs:
            assert isinstance(inputs, dict)
            return {"logits": np.concatenate([inputs["margin"], np.zeros_like(inputs["margin"])], axis=1)}

        return run


class TestCompiledToyAdaptor(TestToyAdaptor):
    """Toy models with recipes whose candidates are compiled."""

    @pytest.fixture
    def model_options(self) -> dict[str, float]:
        return {"half_speed": 0.7, "half_noise": 0.001, "compile_seconds": 1.0}
