import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from process_state import model_state, process_state
from small_torch import FACTORIES, inputs_for, small_cnn, small_mlp
from torch import nn

from autoq.adaptors.pytorch import artifact
from autoq.adaptors.pytorch.compile import export
from autoq.adaptors.pytorch.floats import BF16, COMPILE, FLOAT_RECIPES, float_candidate, float_recipes
from autoq.adaptors.pytorch.guard import copy_of
from autoq.adaptors.pytorch.model import load
from autoq.adaptors.pytorch.package import Package
from autoq.adaptors.pytorch.profile import profile_modules
from autoq.adaptors.pytorch.usability import usability
from autoq.core.adaptor import Compilable, ModelSource, RunOptions
from autoq.core.batch import TensorSpec
from autoq.core.capability import Recipe
from autoq.core.errors import DataError, TrialError
from autoq.core.plan import FP32_PLAN, Plan

OPTIONS = RunOptions(1)
X = inputs_for("small_mlp")


def model_of(module, inputs=X):
    return load(ModelSource(module, example=lambda: inputs))


@pytest.fixture
def mlp():
    return model_of(small_mlp())


def test_the_baseline_gives_the_models_own_outputs(mlp):
    candidate = float_candidate(mlp, FP32_PLAN, OPTIONS)
    with torch.no_grad():
        expected = mlp.module(torch.from_numpy(X)).numpy()
    assert np.array_equal(candidate.predict(X)["output"], expected)


def test_bfloat16_halves_the_size_and_answers_in_float32(mlp):
    candidate = float_candidate(mlp, Plan({}, (BF16,)), OPTIONS)
    assert candidate.size_bytes == mlp.size_bytes // 2
    output = candidate.predict(X)["output"]
    baseline = float_candidate(mlp, FP32_PLAN, OPTIONS).predict(X)["output"]
    assert output.dtype == np.float32
    assert 0 < np.abs(output - baseline).max() < 0.05 * np.abs(baseline).max()


def test_a_model_that_makes_float32_of_its_own_runs_under_autocast():
    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(16, 4)

        def forward(self, x):
            return self.fc(x + torch.ones(16, dtype=torch.float32))

    model = model_of(Mixed().eval())
    output = float_candidate(model, Plan({}, (BF16,)), OPTIONS).predict(X)["output"]
    assert np.allclose(output, float_candidate(model, FP32_PLAN, OPTIONS).predict(X)["output"], atol=0.05)


def test_an_unknown_recipe_is_a_trial_error(mlp):
    with pytest.raises(TrialError, match=r"no recipe 'fly\(high=1\)'"):
        float_candidate(mlp, Plan({}, (Recipe("fly", (("high", 1),)),)), OPTIONS)


def test_a_closed_candidate_says_so(mlp):
    candidate = float_candidate(mlp, FP32_PLAN, OPTIONS)
    candidate.close()
    candidate.close()
    with pytest.raises(TrialError, match="was closed"):
        candidate.predict(X)


def test_a_failing_model_is_a_trial_error(mlp):
    with pytest.raises(TrialError, match="the model failed: RuntimeError"):
        float_candidate(mlp, FP32_PLAN, OPTIONS).predict(X[:, :3])


def test_seconds_belong_to_modules():
    model = model_of(small_cnn(), inputs_for("small_cnn"))
    candidate = float_candidate(model, FP32_PLAN, OPTIONS)
    ops = {path: candidate.native.get_submodule(path) for path in ("conv1", "layer1.0.depthwise", "fc")}
    costs = profile_modules(candidate, inputs_for("small_cnn"), ops)
    assert list(costs.seconds) == list(ops)
    assert min(costs.seconds.values()) > 0
    assert costs.overhead > 0
    assert not any(module._forward_hooks for module in ops.values())


# -- compiled: one model, once ---------------------------------------------------------------


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    model = model_of(small_mlp())
    candidate = float_candidate(model, Plan({}, (COMPILE,)), OPTIONS)
    assert isinstance(candidate, Compilable)
    assert candidate.compile_seconds is None
    process, state = process_state(), model_state(model.module)
    deployed = candidate.compiled()
    assert process_state() == process
    assert model_state(model.module) == state
    folder = tmp_path_factory.mktemp("compiled")
    artifact.save(candidate, folder, "pytorch_pt2e")
    return candidate, deployed, folder


def test_compiling_is_timed_and_done_once(compiled):
    candidate, deployed, _ = compiled
    assert candidate.compile_seconds > 0
    assert candidate.compiled() is deployed


def test_compiled_models_take_batches_of_any_size(compiled):
    candidate, deployed, _ = compiled
    for samples in (1, 3, 8):
        inputs = inputs_for("small_mlp", samples)
        assert np.allclose(deployed.predict(inputs)["output"], candidate.predict(inputs)["output"], atol=1e-6)


def test_compiled_models_refuse_other_shapes(compiled):
    # Compiled code does not look at shapes: it would read memory that is not its own.
    with pytest.raises(DataError, match=r"takes 'input' as|takes \[batch, 16\], not \[4, 15\]"):
        compiled[1].predict(X[:, :15])


def test_compiled_models_are_held_like_the_original(compiled):
    _, deployed, folder = compiled
    for candidate in (deployed, artifact.load_artifact(folder, OPTIONS)):
        held = candidate.native(torch.from_numpy(X))
        assert np.array_equal(held.numpy(), candidate.predict(X)["output"])
        with pytest.raises(DataError, match="not \\[4, 15\\]"):
            candidate.native(torch.from_numpy(X[:, :15]))


def test_compiled_models_take_transposed_memory(compiled):
    transposed = np.asfortranarray(X)
    assert np.array_equal(compiled[1].predict(transposed)["output"], compiled[1].predict(X)["output"])


def test_saved_packages_give_equal_outputs_in_a_fresh_process(compiled, tmp_path):
    _, deployed, folder = compiled
    np.save(tmp_path / "x.npy", X)
    code = (
        "import sys, numpy as np\n"
        "from autoq.adaptors.pytorch.artifact import load_artifact\n"
        "from autoq.core.adaptor import RunOptions\n"
        "from pathlib import Path\n"
        "x = np.load(sys.argv[2])\n"
        "np.save(sys.argv[3], load_artifact(Path(sys.argv[1]), RunOptions(1)).predict(x)['output'])\n"
        "assert 'small_torch' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder), str(tmp_path / "x.npy"), str(tmp_path / "y.npy")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout + done.stderr == ""
    assert np.array_equal(np.load(tmp_path / "y.npy"), deployed.predict(X)["output"])


def test_a_package_of_another_machine_is_compiled_again_or_run_uncompiled(compiled, tmp_path, monkeypatch):
    import json
    import shutil

    _, deployed, folder = compiled
    other = shutil.copytree(folder, tmp_path / "other")
    description = json.loads((other / artifact.DESCRIPTION).read_text())
    (other / artifact.DESCRIPTION).write_text(json.dumps({**description, "processor": "AVX1024"}))
    monkeypatch.setattr(artifact, "compiler", lambda: None)
    loaded = artifact.load_artifact(other, OPTIONS)
    assert loaded.notes == (
        f"runs uncompiled: it was compiled for AVX1024, torch {torch.__version__}, and there is no compiler here",
    )
    assert np.allclose(loaded.predict(X)["output"], deployed.predict(X)["output"], atol=1e-6)


def test_a_model_that_cannot_be_captured_names_its_line():
    import small_torch

    model = model_of(small_torch.untraceable(), inputs_for("untraceable"))
    candidate = float_candidate(model, Plan({}, (COMPILE,)), OPTIONS)
    with pytest.raises(TrialError, match=r"small_torch.py:\d+: torch.export cannot capture the model"):
        candidate.compiled()


def test_a_batch_that_cannot_vary_is_that_of_the_data():
    class Whole(nn.Module):
        def forward(self, x):
            return x.reshape(5, -1) * x.mean(dim=0)

    model = model_of(Whole().eval(), inputs_for("small_mlp", 5))
    _, inputs, notes = export(Whole(), model)
    assert inputs[0].shape == (5, 16)
    assert notes[0].startswith("compiled for batches of exactly 5: ")


@pytest.mark.parametrize(("name", "open_axes"), [("small_mlp", 0), ("small_lstm", 0), ("small_transformer", 1)])
def test_a_length_stays_open_where_the_model_allows_it(name, open_axes):
    # An axis that looks open and is not would let compiled code read memory that is not its own.
    model = model_of(FACTORIES[name](), inputs_for(name))
    _, inputs, _ = export(copy_of(model.module), model)
    lengths = {spec.shape[1] for spec in inputs}
    assert len(lengths) == 1
    assert sum(isinstance(length, str) for length in lengths) == open_axes


def test_lengths_that_must_agree_are_compared():
    specs = tuple(TensorSpec(name, "int64", ("batch", "s1")) for name in ("ids", "mask"))
    package = Package(Path("none"), specs, 1, runner=lambda *tensors: tensors)
    ids = torch.zeros(2, 7, dtype=torch.int64)
    assert len(package(ids, ids)) == 2
    with pytest.raises(DataError, match="mask: this input has 6 where another has 7"):
        package(ids, ids[:, :6])
    with pytest.raises(DataError, match="mask: this input has 1 where another has 2"):
        package(ids, ids[:1])


def test_without_a_compiler_nothing_compiled_is_tried(mlp, monkeypatch):
    assert float_recipes(mlp) == FLOAT_RECIPES
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert float_recipes(mlp) == ((BF16,),)
    assert "there is no C++ compiler" in "; ".join(usability("torch", eager_quantization=True).notes)
    with pytest.raises(TrialError, match="no C\\+\\+ compiler"):
        float_candidate(mlp, Plan({}, (COMPILE,)), OPTIONS).compiled()


# -- usability -------------------------------------------------------------------------------------------------------


def test_usability_names_versions_and_what_is_missing():
    here = usability("torch", "torchao", eager_quantization=True)
    assert here.usable
    assert here.versions["torch"] == torch.__version__
    gone = usability("torch", "no-such-package", eager_quantization=False)
    assert not gone.usable
    assert gone.missing == "pip install 'autoq[pytorch]'"


def test_usability_imports_no_framework():
    code = (
        "import sys\n"
        "from autoq.adaptors.pytorch.usability import usability\n"
        "assert usability('torch', 'torchao', eager_quantization=True).usable\n"
        "assert 'torch' not in sys.modules\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_untested_version_is_noted(monkeypatch):
    monkeypatch.setattr("importlib.metadata.version", lambda _: "2.15.0")
    assert "tested with torch 2.13, and this is 2.15.0" in usability("torch", eager_quantization=False).notes[0]
