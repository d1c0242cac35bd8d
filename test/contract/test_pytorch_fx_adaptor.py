"""What every adaptor must do, for the FX route."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import pytest
import small_torch

from autoq.core.adaptor import ModelSource
from autoq.core.batch import Batch
from autoq.testing.adaptor_contract import AdaptorContract


class _FxContract(AdaptorContract):
    framework = "pytorch_fx"
    model_name: ClassVar[str]

    @pytest.fixture
    def source(self) -> ModelSource:
        return ModelSource(
            small_torch.FACTORIES[self.model_name](), example=lambda: small_torch.inputs_for(self.model_name)
        )

    @pytest.fixture
    def batches(self) -> Sequence[Batch]:
        return small_torch.batches_for(self.model_name)

    @pytest.fixture
    def broken_source(self, tmp_path: Path) -> ModelSource:
        path = tmp_path / "model.pt2"
        path.write_bytes(b"no model")
        return ModelSource(str(path), example=lambda: small_torch.inputs_for(self.model_name))


class TestFxCnn(_FxContract):
    model_name = "small_cnn"


class TestFxTransformer(_FxContract):
    model_name = "small_transformer"
    single_op_plans = 4


class TestFxLstm(_FxContract):
    model_name = "small_lstm"


class TestFxUnet(_FxContract):
    model_name = "small_unet"
    single_op_plans = 4
