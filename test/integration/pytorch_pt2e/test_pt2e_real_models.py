"""Real networks on the PyTorch 2 export route: they load, every op asked for is realized, and calibrating once is
the same, bit by bit, as calibrating a plan from scratch."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pt2e
import pytest
import torch
from pt2e import ADAPTOR, Loaded, loaded
from torch import nn

from autoq.adaptors.pytorch.guard import guarded
from autoq.adaptors.pytorch_pt2e.build import converted
from autoq.core.adaptor import ModelSource, RunOptions
from autoq.core.batch import Batch, Inputs
from autoq.core.plan import FP32_PLAN, Plan
from autoq.core.precision import FP32, Observer, OpPrecision
from autoq.core.space import Space
from examples.pytorch import models

OPTIONS = RunOptions(threads=1)


def _images(channels: int, size: int) -> Callable[[int], Inputs]:
    return lambda seed: np.random.default_rng(seed).normal(size=(2, channels, size, size)).astype(np.float32)


def _words(seed: int) -> Inputs:
    return np.random.default_rng(seed).integers(1, 100, (2, 20))


def _tokens(seed: int) -> Inputs:
    ids = np.random.default_rng(seed).integers(1000, 20000, (2, 12))
    return {"input_ids": ids, "attention_mask": np.ones_like(ids)}


NETWORKS: dict[str, tuple[Callable[[], nn.Module], Callable[[int], Inputs]]] = {
    "resnet18": (lambda: models.resnet18(num_classes=10, in_channels=1), _images(1, 32)),
    "resnet50": (lambda: models.resnet50(num_classes=10, in_channels=1), _images(1, 32)),
    "mobilenet_v2": (lambda: models.mobilenet_v2(num_classes=10, in_channels=1), _images(1, 32)),
    "efficientnet_lite0": (models.efficientnet_lite0, _images(3, 64)),
    "unet": (models.unet, _images(3, 32)),
    "detector": (lambda: models.detector(num_classes=10, in_channels=1), _images(1, 64)),
    "lstm": (models.lstm, _words),
    "minilm": (models.minilm, _tokens),
    "minilm_hf": (models.minilm_hf, _tokens),
}


@functools.cache
def network(name: str) -> Loaded:
    make, inputs = NETWORKS[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = make()
    return loaded(ModelSource(module, example=lambda: inputs(0)), [Batch(inputs(seed), None, 2) for seed in range(2)])


@pytest.mark.parametrize("name", NETWORKS)
def test_every_op_asked_for_is_realized(name: str) -> None:
    held = network(name)
    plan = Space.of(held.table).full_plan()
    candidate = ADAPTOR.apply(held.model, plan, held.calibration, OPTIONS)
    assert candidate.realized == plan
    assert len(plan)
    fp32 = ADAPTOR.apply(held.model, FP32_PLAN, None, OPTIONS).predict(held.batches[0].inputs)
    found = candidate.predict(held.batches[0].inputs)
    assert list(found) == list(fp32) == [spec.name for spec in held.model.outputs]
    assert all(np.isfinite(array).all() for array in found.values())


@pytest.mark.parametrize("name", NETWORKS)
def test_the_graph_gives_the_numbers_of_the_module(name: str) -> None:
    held = network(name)
    fp32 = ADAPTOR.apply(held.model, FP32_PLAN, None, OPTIONS).predict(held.batches[0].inputs)
    args, kwargs = held.model.torch.signature.bind(held.batches[0].inputs)
    with torch.no_grad():
        raw = held.model.torch.module(*args, **kwargs)
    first = next(iter(fp32.values()))
    want = next(iter(torch.utils._pytree.tree_leaves(dict(raw) if hasattr(raw, "keys") else raw))).numpy()
    np.testing.assert_allclose(first, want, rtol=0, atol=1e-4 * float(np.abs(want).max()))


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "minilm"])
def test_calibrating_once_is_bit_identical(name: str) -> None:
    held = network(name)
    full = Space.of(held.table).full_plan()
    one = full.with_precisions({held.table.ops[len(held.table) // 2].id: FP32})
    for plan in (full, one, _mixed(held, 1), _mixed(held, 2)):
        with guarded():
            ours = converted(held.model.graph, held.model.ops, plan, held.calibration)
            assert pt2e.same(ours, held.from_scratch(plan), held.tensors())


def _mixed(held: Loaded, seed: int) -> Plan:
    draw = random.Random(seed)
    return Plan({row.op.id: draw.choice([p for p in row.precisions if _minmax(p)]) for row in held.table})


def _minmax(precision: OpPrecision) -> bool:
    activation: Any = precision.activation
    return activation is None or activation.observer is Observer.MINMAX
