"""Whatever the route does, the user's model and process stay as they were."""

from __future__ import annotations

import random
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_torch
import torch
from torch import nn

from autoq.adaptors.pytorch_eager.adaptor import EagerAdaptor
from autoq.core.adaptor import ModelSource, RunOptions
from autoq.core.space import Space


def _process() -> dict[str, Any]:
    kind, keys, *rest = np.random.get_state()
    return {
        "engine": torch.backends.quantized.engine,
        "threads": torch.get_num_threads(),
        "grad": torch.is_grad_enabled(),
        "dtype": torch.get_default_dtype(),
        "rng": torch.get_rng_state().tolist(),
        "python": random.getstate(),
        "numpy": (kind, keys.tolist(), rest),
        "filters": list(warnings.filters),
        "fast path": torch.backends.mha.get_fastpath_enabled(),
    }


def _model(module: nn.Module) -> dict[str, Any]:
    return {
        "state": {name: tensor.clone() for name, tensor in module.state_dict().items()},
        "training": [child.training for child in module.modules()],
        "classes": [type(child) for child in module.modules()],
        "attributes": [sorted(vars(child)) for child in module.modules()],
        "hooks": [len(c._forward_hooks) + len(c._forward_pre_hooks) for c in module.modules()],
        "gradients": [p.requires_grad for p in module.parameters()],
    }


def _encoder() -> nn.Module:
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
    return nn.TransformerEncoder(layer, 1, enable_nested_tensor=False).eval()


def _weight_norm() -> nn.Module:
    return nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(16, 8)), nn.ReLU(), nn.Linear(8, 4)).eval()


_MODELS = {
    "cnn": (small_torch.small_cnn, lambda: small_torch.batches_for("small_cnn", 2)),
    "lstm": (small_torch.small_lstm, lambda: small_torch.batches_for("small_lstm", 2)),
    "tied": (small_torch.shared_weights, lambda: small_torch.batches_for("shared_weights", 2)),
    "encoder": (
        _encoder,
        lambda: [
            type(b)(np.asarray(b.inputs)[:, None].repeat(3, 1), None, b.samples)
            for b in small_torch.batches_for("small_mlp", 2)
        ],
    ),
    "computed weights": (_weight_norm, lambda: small_torch.batches_for("small_mlp", 2)),
}


@pytest.mark.parametrize("name", _MODELS)
def test_nothing_changes(name: str, tmp_path: Path) -> None:
    factory, make_batches = _MODELS[name]
    module, batches, adaptor = factory(), make_batches(), EagerAdaptor()
    torch.backends.quantized.engine = "x86"
    process, before = _process(), _model(module)

    model = adaptor.load(ModelSource(module, example=lambda: batches[0].inputs))
    table = adaptor.capabilities(model)
    calibration = adaptor.calibrate(model, batches, adaptor.needs(model, table))
    candidate = adaptor.apply(model, Space.of(table).full_plan(), calibration, RunOptions(threads=1))
    candidate.predict(batches[0].inputs)
    adaptor.profile(candidate, batches[0].inputs)
    adaptor.save(candidate, tmp_path)
    adaptor.load_artifact(tmp_path, RunOptions(threads=1)).predict(batches[0].inputs)

    assert _process() == process
    after = _model(module)
    assert all(torch.equal(after["state"][key], tensor) for key, tensor in before["state"].items())
    for key in before.keys() - {"state"}:
        assert after[key] == before[key], key


def test_training_the_original_on_does_not_reach_a_candidate() -> None:
    module, batches, adaptor = (
        small_torch.small_transformer(),
        small_torch.batches_for("small_transformer"),
        EagerAdaptor(),
    )
    model = adaptor.load(ModelSource(module, example=lambda: batches[0].inputs))
    table = adaptor.capabilities(model)
    calibration = adaptor.calibrate(model, batches, adaptor.needs(model, table))
    candidate = adaptor.apply(model, Space.of(table).full_plan(), calibration, RunOptions())
    before = candidate.predict(batches[0].inputs)["output"]
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(1.0)
    assert np.array_equal(candidate.predict(batches[0].inputs)["output"], before)
