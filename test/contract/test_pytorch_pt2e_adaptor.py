"""What every adaptor must do, for the PyTorch 2 export route."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import small_torch

from autoq.adaptors.pytorch_pt2e.adaptor import Pt2eAdaptor
from autoq.adaptors.pytorch_pt2e.model import Pt2eModel
from autoq.core.adaptor import Adaptor, Model, ModelSource
from autoq.core.batch import Batch
from autoq.core.capability import Capability, CapabilityTable
from autoq.core.precision import Mode
from autoq.testing.adaptor_contract import AdaptorContract

_EXPORTED: dict[str, Model] = {}


class _Pt2eContract(AdaptorContract):
    framework = "pytorch_pt2e"
    model_name: ClassVar[str]
    single_op_plans = 4

    @pytest.fixture
    def source(self) -> ModelSource:
        return ModelSource(
            small_torch.FACTORIES[self.model_name](), example=lambda: small_torch.inputs_for(self.model_name)
        )

    @pytest.fixture
    def model(self, adaptor: Adaptor[Any], source: ModelSource) -> Model:
        """Exported once: no test may change it, and one checks that."""
        if self.model_name not in _EXPORTED:
            _EXPORTED[self.model_name] = adaptor.load(source)
        return _EXPORTED[self.model_name]

    @pytest.fixture
    def batches(self) -> Sequence[Batch]:
        return small_torch.batches_for(self.model_name)

    @pytest.fixture
    def broken_source(self, tmp_path: Path) -> ModelSource:
        path = tmp_path / "model.pt2"
        path.write_bytes(b"no model")
        return ModelSource(str(path), example=lambda: small_torch.inputs_for(self.model_name))


class TestPt2eCnn(_Pt2eContract):
    model_name = "small_cnn"
    single_op_plans = 8


class TestPt2eTransformer(_Pt2eContract):
    model_name = "small_transformer"


class TestPt2eLstm(_Pt2eContract):
    model_name = "small_lstm"


class _Dynamic(Pt2eAdaptor):
    """Offers what a job with the dynamic approach may use."""

    def capabilities(self, model: Pt2eModel) -> CapabilityTable:
        table = super().capabilities(model)
        return replace(table, rows=tuple(_without_static(row) for row in table))


class TestPt2eDynamic(_Pt2eContract):
    model_name = "small_mlp"

    @pytest.fixture
    def adaptor(self) -> Adaptor[Any]:
        return _Dynamic()


def _without_static(row: Capability) -> Capability:
    return replace(row, precisions=tuple(p for p in row.precisions if p.mode is not Mode.STATIC))
