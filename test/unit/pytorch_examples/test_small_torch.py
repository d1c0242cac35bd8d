"""The tiny models that other tests stand on."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
import small_torch
import torch


def _run(name: str) -> object:
    inputs = small_torch.batches_for(name)[0].inputs
    arrays = list(inputs.values()) if isinstance(inputs, Mapping) else [inputs]
    with torch.no_grad():
        return small_torch.FACTORIES[name]()(*(torch.from_numpy(np.asarray(a)) for a in arrays))


@pytest.mark.parametrize("name", small_torch.FACTORIES)
def test_weights_are_the_same_each_time(name: str) -> None:
    first, second = (torch.utils._pytree.tree_leaves(_run(name)) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("name", small_torch.FACTORIES)
def test_making_a_model_leaves_the_random_state_alone(name: str) -> None:
    before = torch.random.get_rng_state()
    small_torch.FACTORIES[name]()
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize("name", small_torch.FACTORIES)
def test_models_are_in_evaluation_mode(name: str) -> None:
    assert not any(module.training for module in small_torch.FACTORIES[name]().modules())


def test_batches_differ() -> None:
    first, second, _ = small_torch.batches_for("small_cnn")
    assert not np.array_equal(np.asarray(first.inputs), np.asarray(second.inputs))
