"""Nothing in the user's model or process changes."""

from __future__ import annotations

import random
import subprocess
import sys
import warnings

import numpy as np
import small_torch
import torch
from pt2e import ADAPTOR, loaded
from torch._inductor import config

from autoq.core.adaptor import ModelSource, RunOptions
from autoq.core.space import Space


def state() -> list[object]:
    return [
        torch.get_rng_state().tolist(),
        random.getstate(),
        np.random.get_state()[1].tolist(),
        torch.backends.quantized.engine,
        torch.get_num_threads(),
        torch.is_grad_enabled(),
        torch.get_default_dtype(),
        list(warnings.filters),
        config.pre_grad_custom_pass,
        config.freezing,
    ]


def test_building_and_running_changes_nothing() -> None:
    model = small_torch.small_cnn()
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    before = state()
    held = loaded(
        ModelSource(model, example=lambda: small_torch.inputs_for("small_cnn")), small_torch.batches_for("small_cnn")
    )
    plan = Space.of(held.table).full_plan()
    candidate = ADAPTOR.apply(held.model, plan, held.calibration, RunOptions(threads=1))
    candidate.predict(held.batches[0].inputs)
    assert state() == before
    assert not model.training
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())


def test_importing_is_silent_and_leaves_the_compiler_alone() -> None:
    code = (
        "import torch._inductor.config as c; before = c.pre_grad_custom_pass\n"
        "import autoq.adaptors.pytorch_pt2e.adaptor\n"
        "assert c.pre_grad_custom_pass is before"
    )
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (child.returncode, child.stdout, child.stderr) == (0, "", "")
