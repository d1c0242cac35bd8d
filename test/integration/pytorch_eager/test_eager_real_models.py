"""Real networks: calibrated once equals calibrated from scratch, int8 stays close to fp32, and jobs run to the end."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from eager_from_scratch import quantize_from_scratch
from torch import nn

from autoq.adaptors.pytorch.guard import guarded
from autoq.adaptors.pytorch.model import TorchModel
from autoq.adaptors.pytorch.outputs import flatten
from autoq.adaptors.pytorch_eager.adaptor import EagerAdaptor
from autoq.core.adaptor import ModelSource, RunOptions
from autoq.core.batch import Batch
from autoq.core.capability import CapabilityTable
from autoq.core.plan import FP32_PLAN, Plan
from autoq.core.precision import DType, Mode, Scheme, TensorQuant
from autoq.core.space import Space, SpaceRules
from autoq.core.statistics import Calibration
from examples.efficientnet import published
from examples.pytorch import models

_ADAPTOR = EagerAdaptor()
_OBSERVED = TensorQuant(DType.UINT8, Scheme.ASYM)  # what the framework's MinMax observers make
_ONE_THREAD = RunOptions(threads=1)
_STATIC = SpaceRules(modes=(Mode.STATIC,))


def _images(channels: int, side: int) -> list[Batch]:
    rngs = [np.random.default_rng(seed) for seed in range(2)]
    return [Batch(r.normal(size=(2, channels, side, side)).astype(np.float32), None, 2) for r in rngs]


def _sentences() -> list[Batch]:
    rngs = [np.random.default_rng(seed) for seed in range(2)]
    return [
        Batch(
            {"input_ids": r.integers(1000, 9000, size=(2, 16)), "attention_mask": np.ones((2, 16), np.int64)}, None, 2
        )
        for r in rngs
    ]


def _tokens() -> list[Batch]:
    rngs = [np.random.default_rng(seed) for seed in range(2)]
    return [Batch(r.integers(1, 400, size=(2, 20)), None, 2) for r in rngs]


def _with_statistics(module: nn.Module) -> nn.Module:
    """Random statistics for batch norms that never saw data, so that folding them wrongly shows."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for child in module.modules():
            if isinstance(child, nn.BatchNorm2d):
                child.running_mean.normal_(0, 0.1, generator=generator)
                child.running_var.uniform_(0.5, 1.5, generator=generator)
                child.weight.uniform_(0.5, 1.5, generator=generator)
    return module


_NETWORKS: dict[str, tuple[Callable[[], nn.Module], Callable[[], list[Batch]], int]] = {
    "resnet18": (lambda: _with_statistics(models.resnet18()), lambda: _images(3, 64), 21),
    "resnet50": (lambda: _with_statistics(models.resnet50()), lambda: _images(3, 64), 54),
    "mobilenet_v2": (lambda: _with_statistics(models.mobilenet_v2()), lambda: _images(3, 64), 53),
    "efficientnet_lite0": (models.efficientnet_lite0, lambda: _images(3, 224), 50),
    "efficientnet_lite0 as published": (published, lambda: _images(3, 224), 50),
    "minilm": (models.minilm, _sentences, 38),
    "minilm through transformers": (models.minilm_hf, _sentences, 39),
    "lstm": (lambda: models.lstm(vocabulary=400), _tokens, 4),
    "unet": (lambda: _with_statistics(models.unet()), lambda: _images(3, 64), 18),
    "detector": (
        lambda: _with_statistics(models.detector(num_classes=10, in_channels=1)),
        lambda: _images(1, 64),
        24,
    ),
}


@functools.lru_cache(maxsize=1)  # one network in memory at a time
def _prepared(name: str) -> tuple[TorchModel, list[Batch], CapabilityTable, Calibration]:
    make, make_batches, _ = _NETWORKS[name]
    batches = make_batches()
    model = _ADAPTOR.load(ModelSource(make(), example=lambda: batches[0].inputs))
    table = _ADAPTOR.capabilities(model)
    return model, batches, table, _ADAPTOR.calibrate(model, batches, _ADAPTOR.needs(model, table))


def _require_identical(name: str, plan: Plan) -> None:
    model, batches, _, calibration = _prepared(name)
    ours: Any = _ADAPTOR.apply(model, plan, calibration, _ONE_THREAD).native
    theirs = quantize_from_scratch(model, plan, batches)
    args, kwargs = model.signature.bind(batches[1].inputs)
    with guarded(1):
        wanted, found = flatten(theirs(*args, **kwargs)), flatten(ours(*args, **kwargs))
    assert all(torch.equal(tensor, found[key]) for key, tensor in wanted.items())


@pytest.mark.parametrize("name", _NETWORKS)
def test_every_module_is_an_op_and_all_of_them_quantize(name: str) -> None:
    model, batches, table, calibration = _prepared(name)
    plan = Space.of(table).full_plan()
    candidate = _ADAPTOR.apply(model, plan, calibration, _ONE_THREAD)
    assert len(table) == _NETWORKS[name][2]
    assert candidate.realized == plan
    fp32 = _ADAPTOR.apply(model, FP32_PLAN, None, _ONE_THREAD)
    wanted, found = fp32.predict(batches[0].inputs), candidate.predict(batches[0].inputs)
    assert list(found) == list(wanted)
    assert candidate.size_bytes < fp32.size_bytes / 3


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "minilm"])
def test_full_and_mixed_plans_equal_the_frameworks_own_calibration(name: str) -> None:
    _, _, table, _ = _prepared(name)
    full = Space.of(table, _STATIC).full_plan()
    _require_identical(name, full)
    static = [row for row in table if row.precisions[0].mode is Mode.STATIC]
    last = static[-2]
    _require_identical(name, full.with_precisions({last.op.id: last.precisions[-1]}))
    rng = np.random.default_rng(1)
    choices = {
        row.op.id: [p for p in row.precisions if p.mode in (Mode.DYNAMIC, Mode.FP32) or (p.activation == _OBSERVED)]
        for row in table
    }
    _require_identical(name, Plan({op: ps[rng.integers(len(ps))] for op, ps in choices.items()}))


def test_mobilenet_keeps_the_accuracy_of_the_onednn_engine() -> None:
    model, batches, table, calibration = _prepared("mobilenet_v2")
    candidate = _ADAPTOR.apply(model, Space.of(table).full_plan(), calibration, _ONE_THREAD)
    wanted = _ADAPTOR.apply(model, FP32_PLAN, None, _ONE_THREAD).predict(batches[0].inputs)["output"]
    noise = wanted - candidate.predict(batches[0].inputs)["output"]
    assert 10 * np.log10((wanted**2).sum() / (noise**2).sum()) > 33
