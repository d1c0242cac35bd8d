"""Loading, building, running, saving: nothing of the user's model or process changes."""

import random
import sys
import threading
import warnings

import numpy as np
import pytest
import torch
from process_state import model_state, process_state
from small_torch import inputs_for, small_cnn

from autoq.adaptors.pytorch import artifact
from autoq.adaptors.pytorch.compile import export
from autoq.adaptors.pytorch.floats import BF16, float_candidate
from autoq.adaptors.pytorch.guard import ENGINE, guarded, quiet, running
from autoq.adaptors.pytorch.model import load
from autoq.core.adaptor import ModelSource, RunOptions
from autoq.core.plan import FP32_PLAN, Plan

IMAGES = inputs_for("small_cnn")


def work_of(name, module, folder):
    model = load(ModelSource(module, example=lambda: IMAGES))
    if name == "load":
        return
    plan = Plan({}, (BF16,)) if name == "bf16" else FP32_PLAN
    candidate = float_candidate(model, plan, RunOptions(1))
    if name == "save":
        artifact.save(candidate, folder, "pytorch_eager")
        artifact.load_artifact(folder, RunOptions(1)).predict(IMAGES)
    elif name == "export":
        export(candidate.native, model)
    else:
        candidate.predict(IMAGES)


@pytest.mark.parametrize("name", ["load", "predict", "bf16", "save", "export"])
def test_work_leaves_model_and_process_alone(name, tmp_path):
    module = small_cnn()
    work_of(name, module, tmp_path)  # what a library sets up when it is first used is not looked at
    process, model = process_state(), model_state(module)
    work_of(name, module, (tmp_path / "again").mkdir() or tmp_path / "again")
    assert process_state() == process
    assert model_state(module) == model


def test_a_model_with_random_numbers_draws_the_same_every_time():
    class Noisy(torch.nn.Module):
        def forward(self, x):
            return x + torch.rand_like(x)

    model = load(ModelSource(Noisy().eval(), example=lambda: IMAGES))
    candidate = float_candidate(model, FP32_PLAN, RunOptions(1))
    assert np.array_equal(candidate.predict(IMAGES)["output"], candidate.predict(IMAGES)["output"])


def test_the_guard_restores_after_an_error():
    before = process_state()

    def work():
        torch.rand(3)
        np.random.rand(3)
        random.random()
        torch.set_default_dtype(torch.float64)
        raise RuntimeError("boom")

    with pytest.raises(RuntimeError, match="boom"), guarded(1):
        work()
    assert process_state() == before


def test_inference_uses_the_engine_without_reduced_range():
    with running(1):
        assert torch.backends.quantized.engine == ENGINE
        assert torch.get_num_threads() == 1
        assert not torch.is_grad_enabled()


def test_warnings_of_the_users_model_reach_the_user():
    class Warns(torch.nn.Module):
        def forward(self, x):
            warnings.warn("look here", UserWarning, stacklevel=1)
            return x

    with pytest.warns(UserWarning, match="look here"):
        load(ModelSource(Warns().eval(), example=lambda: IMAGES))


def test_quiet_drops_what_this_thread_prints_and_no_other(capsys):
    with quiet():
        sys.stderr.write("compiler noise\n")
        other = threading.Thread(target=lambda: sys.stderr.write("live view\n"))
        other.start()
        other.join()
    assert capsys.readouterr().err == "live view\n"


def test_a_model_that_writes_into_its_inputs_gets_copies(tmp_path):
    class InPlace(torch.nn.Module):
        def forward(self, x):
            return x.mul_(2).relu_()

    images = IMAGES.copy()
    model = load(ModelSource(InPlace().eval(), example=lambda: images))
    assert model.signature.written
    candidate = float_candidate(model, FP32_PLAN, RunOptions(1))
    artifact.save(candidate, tmp_path, "pytorch_eager")
    loaded = artifact.load_artifact(tmp_path, RunOptions(1))
    expected = np.maximum(2 * IMAGES, 0)
    assert np.array_equal(candidate.predict(images)["output"], expected)
    assert np.array_equal(loaded.predict(images)["output"], expected)
    assert np.array_equal(images, IMAGES)
    assert not load(ModelSource(small_cnn(), example=lambda: images)).signature.written


def test_weights_of_the_job_are_not_loaded_into_the_users_module(tmp_path):
    module, trained = small_cnn(), small_cnn()
    torch.nn.init.ones_(next(trained.parameters()))
    torch.save(trained.state_dict(), tmp_path / "weights.pt")
    before = model_state(module)
    model = load(ModelSource(module, options={"weights": tmp_path / "weights.pt"}, example=lambda: IMAGES))
    assert model_state(module) == before
    assert torch.equal(next(model.module.parameters()), next(trained.parameters()))
