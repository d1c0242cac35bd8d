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
    def source(self, tmp_path_factory: pytest.TempPathFactory) -> ModelSource:
        groups = {2: "pair", 3: "pair"}
        faults = {5: "refuse"}
        ops = (ToyOp(f"op{i}", noise=0.1 * i, group=groups.get(i), fault=faults.get(i)) for i in range(6))
        path = tmp_path_factory.mktemp("toy") / "toy.json"
        ToyModel(tuple(ops)).save(path)
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
