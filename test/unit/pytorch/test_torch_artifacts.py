import json
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from small_torch import FACTORIES, inputs_for, untraceable
from torch import nn

from autoq.adaptors.pytorch import artifact
from autoq.adaptors.pytorch.compile import export
from autoq.adaptors.pytorch.floats import BF16, float_candidate
from autoq.adaptors.pytorch.guard import guarded
from autoq.adaptors.pytorch.model import load
from autoq.adaptors.pytorch.program import save_program
from autoq.adaptors.pytorch.state import plain_state
from autoq.core.adaptor import ModelSource, RunOptions
from autoq.core.errors import DataError, ModelError, TrialError
from autoq.core.plan import FP32_PLAN, Plan

OPTIONS = RunOptions(1)
TRACEABLE = sorted(set(FACTORIES) - {"untraceable"})


def candidate_of(module, inputs, plan=FP32_PLAN):
    return float_candidate(load(ModelSource(module, example=lambda: inputs)), plan, OPTIONS)


def saved(candidate, folder):
    return artifact.load_artifact(artifact.save(candidate, folder, "pytorch_eager").folder, OPTIONS)


def assert_same(found, expected, inputs):
    left, right = found.predict(inputs), expected.predict(inputs)
    assert list(left) == list(right)
    assert all(np.array_equal(left[name], right[name]) for name in right)


@pytest.mark.parametrize("name", TRACEABLE)
def test_saved_models_give_the_same_outputs_for_batches_of_any_size(name, tmp_path):
    candidate = candidate_of(FACTORIES[name](), inputs_for(name))
    loaded = saved(candidate, tmp_path)
    for samples in (1, 2, 5):
        assert_same(loaded, candidate, inputs_for(name, samples, seed=samples))


def test_bfloat16_models_are_saved_as_such(tmp_path):
    candidate = candidate_of(FACTORIES["small_cnn"](), inputs_for("small_cnn"), Plan({}, (BF16,)))
    loaded = saved(candidate, tmp_path)
    assert loaded.realized == candidate.realized
    assert_same(loaded, candidate, inputs_for("small_cnn", 3))


def test_control_flow_is_saved_with_both_its_ways(tmp_path):
    inputs = inputs_for("untraceable")
    candidate = candidate_of(untraceable(), inputs)
    loaded = saved(candidate, tmp_path)
    assert_same(loaded, candidate, inputs / 10)
    assert_same(loaded, candidate, inputs * 10)


def test_a_size_baked_into_a_trace_is_fixed_in_the_signature(tmp_path):
    class Baked(nn.Module):
        def forward(self, x, mask=None):
            return x * float(x.shape[1])

    wide = np.ones((2, 6), np.float32)
    candidate = candidate_of(Baked().eval(), wide)
    loaded = saved(candidate, tmp_path)
    assert_same(loaded, candidate, np.ones((5, 6), np.float32))
    with pytest.raises(DataError, match=r"takes \[batch, 6\], not \[2, 3\]"):
        loaded.predict(wide[:, :3])


def test_a_model_without_a_faithful_form_says_why(tmp_path):
    class Drawn(nn.Module):
        def forward(self, *xs):
            return xs[0] * 2 if float(xs[0].mean()) > 0.1 else xs[0]

    candidate = candidate_of(Drawn().eval(), np.ones((2, 4), np.float32))
    with pytest.raises(TrialError, match="cannot be saved so that it gives the same outputs") as caught:
        saved(candidate, tmp_path)
    assert "torch.export" in str(caught.value)


def test_a_trace_that_is_seen_to_go_one_way_only_is_refused(tmp_path):
    class Signed(nn.Module):
        def forward(self, *xs):
            return xs[0] * 2 if float(xs[0].mean()) > 0 else xs[0]

    candidate = candidate_of(Signed().eval(), np.ones((2, 4), np.float32))
    with pytest.raises(TrialError, match="computes something else on a batch of 3"):
        saved(candidate, tmp_path)


def test_a_trace_of_code_that_looks_at_values_says_so(tmp_path):
    class Far(nn.Module):
        def forward(self, *xs):
            return xs[0] * 2 if float(xs[0].mean()) < 1000 else xs[0]

    loaded = saved(candidate_of(Far().eval(), np.ones((2, 4), np.float32)), tmp_path)
    assert any("the way is that of the calibration data" in note for note in loaded.notes)


def test_the_folder_holds_no_pickle_of_python_objects(tmp_path):
    artifact.save(candidate_of(FACTORIES["small_mlp"](), inputs_for("small_mlp")), tmp_path, "pytorch_eager")
    for file in tmp_path.glob("*.pt"):
        names = zipfile.ZipFile(file).namelist()
        # TorchScript's own data: constants and attributes, read by a reader that knows tensors and plain types only.
        assert {n.rpartition("/")[2] for n in names if n.endswith(".pkl")} <= {"data.pkl", "constants.pkl"}


def test_the_weights_are_there_for_those_who_have_the_code(tmp_path):
    module = FACTORIES["small_cnn"]()
    artifact.save(candidate_of(module, inputs_for("small_cnn")), tmp_path, "pytorch_eager")
    state = load_file(tmp_path / artifact.WEIGHTS)
    assert all(torch.equal(state[name], tensor) for name, tensor in module.state_dict().items())


def test_quantized_weights_become_integers_and_scales():
    with guarded():
        weight = torch.quantize_per_channel(torch.randn(4, 3), torch.rand(4) + 0.1, torch.zeros(4), 0, torch.qint8)
        module = nn.Module()
        module.register_buffer("w", weight)
        state = plain_state(module)
        again = (state["w.int_repr"] - state["w.zero_point"][:, None]) * state["w.scale"][:, None]
        assert torch.equal(again.float(), weight.dequantize())


def test_tuning_json_names_precisions_and_scales(tmp_path):
    candidate = candidate_of(FACTORIES["small_mlp"](), inputs_for("small_mlp"))
    candidate.record = {"0": {"input": {"scale": 0.5, "zero_point": 3}}}
    artifact.save(candidate, tmp_path, "pytorch_eager")
    assert json.loads((tmp_path / artifact.TUNING).read_text())["ops"]["0"]["input"]["zero_point"] == 3
    assert artifact.load_artifact(tmp_path, OPTIONS).record == candidate.record


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / artifact.DESCRIPTION).unlink(), "no saved PyTorch model here"),
        (lambda folder: (folder / artifact.DESCRIPTION).write_text("{"), "cannot be read"),
        (lambda folder: (folder / artifact.DESCRIPTION).write_text('{"format": 99}'), "format 99"),
        (lambda folder: (folder / artifact.DESCRIPTION).write_text('{"format": 2}'), "cannot be read"),
        (lambda folder: (folder / artifact.SCRIPT).write_bytes(b"PK"), "TorchScript file cannot be read"),
        (lambda folder: (folder / artifact.SCRIPT).unlink(), "TorchScript file cannot be read"),
    ],
)
def test_a_damaged_folder_is_a_model_error(tmp_path, damage, message):
    artifact.save(candidate_of(FACTORIES["small_mlp"](), inputs_for("small_mlp")), tmp_path, "pytorch_eager")
    damage(tmp_path)
    with pytest.raises(ModelError, match=message):
        artifact.load_artifact(tmp_path, OPTIONS)


def test_an_empty_folder_is_a_model_error(tmp_path):
    with pytest.raises(ModelError, match="the folder is empty"):
        artifact.load_artifact(tmp_path, OPTIONS)


def test_no_sample_of_the_users_data_is_saved(tmp_path):
    class Adds(nn.Module):
        def forward(self, x):
            return x + 1 if x.shape[0] else x

    marked = np.full((2, 64), 1234.5, np.float32)
    candidate = candidate_of(Adds().eval(), marked)
    artifact.save(candidate, tmp_path, "pytorch_eager")
    save_program(export(candidate.native, candidate.model)[0], tmp_path / artifact.PROGRAM)
    assert not any(marked[0].tobytes() in file.read_bytes() for file in tmp_path.iterdir())


def test_an_exported_program_of_the_users_own_loads(tmp_path):
    candidate = candidate_of(FACTORIES["small_cnn"](), inputs_for("small_cnn"))
    program, _, _ = export(candidate.native, candidate.model)
    torch.export.save(program, tmp_path / "mine.pt2")
    loaded = artifact.load_artifact(tmp_path / "mine.pt2", OPTIONS)
    images = inputs_for("small_cnn", 3)
    assert np.allclose(loaded.predict(images)["output"], candidate.predict(images)["output"], atol=1e-6)


def test_a_file_that_does_not_know_its_inputs_is_told(tmp_path):
    (tmp_path / "model.pt").write_bytes(b"PK")
    with pytest.raises(ModelError, match="does not say which inputs it takes"):
        artifact.load_artifact(tmp_path / "model.pt", OPTIONS)
