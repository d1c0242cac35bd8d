"""What every adaptor must do, for the eager route."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import small_torch
import torch

from autoq.core.adaptor import ModelSource
from autoq.core.batch import Batch, Inputs, Outputs
from autoq.testing.adaptor_contract import AdaptorContract


class _EagerContract(AdaptorContract):
    framework = "pytorch_eager"
    model_name: ClassVar[str]
    single_op_plans = 5

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


@functools.cache
def _program(name: str) -> torch.export.ExportedProgram:
    image = torch.from_numpy(np.asarray(small_torch.inputs_for(name)))
    batch = torch.export.Dim("batch")
    return torch.export.export(small_torch.FACTORIES[name](), (image,), dynamic_shapes=({0: batch},))


class TestEagerCnn(_EagerContract):
    model_name = "small_cnn"

    @pytest.fixture
    def reference(self, source: ModelSource) -> Callable[[Inputs], Outputs]:
        def run(inputs: Inputs) -> Outputs:
            with torch.no_grad():
                return {"output": source.model(torch.from_numpy(np.asarray(inputs))).numpy()}

        return run


class TestEagerTransformer(_EagerContract):
    model_name = "small_transformer"


class TestEagerLstm(_EagerContract):
    model_name = "small_lstm"


class TestEagerDetector(_EagerContract):
    model_name = "small_detector"
    single_op_plans = 3


class TestEagerExported(_EagerContract):
    """A model that comes as a `torch.export` program."""

    model_name = "small_unet"
    single_op_plans = 3

    @pytest.fixture
    def source(self) -> ModelSource:
        return ModelSource(_program(self.model_name), example=lambda: small_torch.inputs_for(self.model_name))


class TestEagerTorchScript(_EagerContract):
    """A model that comes as TorchScript."""

    model_name = "small_cnn"
    single_op_plans = 3

    @pytest.fixture
    def source(self) -> ModelSource:
        image = torch.from_numpy(np.asarray(small_torch.inputs_for(self.model_name)))
        traced = torch.jit.trace(small_torch.small_cnn(), image)
        return ModelSource(traced, example=lambda: small_torch.inputs_for(self.model_name))
