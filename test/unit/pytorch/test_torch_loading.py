import pickle
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from small_torch import inputs_for, shared_weights, small_cnn, small_mlp, small_transformer
from torch import nn

from autoq.adaptors.pytorch.floats import float_candidate
from autoq.adaptors.pytorch.model import Form, load
from autoq.core.adaptor import ModelSource, RunOptions
from autoq.core.batch import TensorSpec
from autoq.core.errors import ConfigError, ModelError
from autoq.core.plan import FP32_PLAN

X = inputs_for("small_mlp")


def source(model, inputs=X, **options):
    return ModelSource(model, options=options, example=lambda: inputs)


def outputs_of(model, inputs=X):
    return float_candidate(model, FP32_PLAN, RunOptions(1)).predict(inputs)["output"]


EXPECTED = outputs_of(load(source(small_mlp())))


def test_a_module_tells_its_inputs_and_outputs():
    model = load(source(small_transformer(), inputs_for("small_transformer")))
    assert model.form is Form.MODULE
    assert model.inputs[0] == TensorSpec("input_ids", "int64", ("batch", None))
    assert model.outputs == (TensorSpec("output", "float32", ("batch", None, None)),)


def test_the_example_is_cut_to_two_samples():
    assert load(source(small_mlp())).example[0][0].shape == (2, 16)


def test_a_model_that_wants_its_own_batch_size_keeps_it():
    class Four(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(16, 2)

        def forward(self, x):
            return self.fc(x).reshape(4, 2)

    assert load(source(Four().eval())).example[0][0].shape == (4, 16)


def test_float64_data_run_through_a_float32_model():
    assert load(source(small_mlp(), X.astype(np.float64))).inputs[0].dtype == "float32"


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A module with factories, as a user has it beside the job file."""
    (tmp_path / "user_models.py").write_text(
        "from torch import nn\n"
        "def mlp(width=32):\n"
        "    first, second = nn.Linear(16, width), nn.Linear(width, 32)\n"
        "    return nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), nn.Linear(32, 10))\n"
        "def chatty():\n"
        "    import logging\n"
        "    logging.getLogger('torchao').warning('Failed to load a library')\n"
        "    return mlp()\n"
        "def text(): return 'no model'\n"
        "def broken(): raise OSError('no such checkpoint')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield "user_models"
    sys.modules.pop("user_models", None)


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_a_factory_takes_weights_from_a_file(package, tmp_path, suffix):
    path = tmp_path / f"weights.{suffix}"
    state = small_mlp().state_dict()
    save_file(state, path) if suffix == "safetensors" else torch.save(state, path)
    model = load(source(f"{package}:mlp", weights=path))
    assert not model.module.training
    assert np.array_equal(outputs_of(model), EXPECTED)


def test_a_factory_takes_arguments(package):
    assert load(source(f"{package}:mlp", arguments={"width": 8})).module[0].out_features == 8


def test_weights_of_a_checkpoint_and_of_data_parallel_are_found(package, tmp_path):
    path = tmp_path / "checkpoint.pth"
    state = {f"module.{name}": value for name, value in small_mlp().state_dict().items()}
    torch.save({"epoch": 3, "state_dict": state}, path)
    assert np.array_equal(outputs_of(load(source(f"{package}:mlp", weights=path))), EXPECTED)


def test_tied_weights_may_be_saved_once(tmp_path, monkeypatch):
    state = shared_weights().state_dict()
    del state["head.weight"]
    save_file(state, tmp_path / "weights.safetensors")
    inputs = inputs_for("shared_weights")
    model = load(source("small_torch:shared_weights", inputs, weights=tmp_path / "weights.safetensors"))
    assert model.notes == {"tied weights": "words.weight = head.weight"}


def test_weights_that_do_not_fit_are_named(package, tmp_path):
    state = small_mlp().state_dict()
    state["0.wieght"] = state.pop("0.weight")
    state["4.bias"] = torch.zeros(12)
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(ModelError) as caught:
        load(source(f"{package}:mlp", weights=tmp_path / "w.safetensors"))
    message = str(caught.value)
    assert "1 missing (0.weight)" in message
    assert "1 unexpected (0.wieght)" in message
    assert "4.bias is [12] instead of [10]" in message
    assert "did you mean '0.weight'" in message


def test_a_pickled_module_is_not_unpickled(tmp_path):
    path = tmp_path / "model.pth"
    torch.save(small_mlp(), path)
    with pytest.raises(ModelError, match="will not be unpickled") as caught:
        load(source(str(path)))
    assert "package.module:factory" in str(caught.value)


class Bomb:
    def __reduce__(self):
        return (open, ("bomb-went-off", "w"))


@pytest.mark.parametrize("section", ["model", "weights"])
def test_code_in_a_pickle_does_not_run(section, package, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"0.weight": Bomb()}, "evil.pth")
    given = source("evil.pth") if section == "model" else source(f"{package}:mlp", weights=tmp_path / "evil.pth")
    with pytest.raises(ModelError, match="will not be unpickled"):
        load(given)
    assert not (tmp_path / "bomb-went-off").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the model file is empty"),
        (pickle.dumps({"a": 1}), "a Python pickle, which will not be unpickled"),
        (b"\x08\x07 some onnx", "neither a .pt2 of torch.export nor a TorchScript file"),
    ],
)
def test_other_files_are_told_apart(tmp_path, content, message):
    path = tmp_path / "model.bin"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=message):
        load(source(str(path)))


def test_weights_without_a_model_are_told(tmp_path):
    save_file(small_mlp().state_dict(), tmp_path / "w.safetensors")
    with pytest.raises(ModelError, match="this file holds weights, and no model"):
        load(source(str(tmp_path / "w.safetensors")))


def test_a_missing_file_and_a_folder_are_told(tmp_path):
    with pytest.raises(ModelError, match="no such model file"):
        load(source(str(tmp_path / "none.pt2")))
    with pytest.raises(ModelError, match="this is a folder"):
        load(source(str(tmp_path)))


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("user_models:mpl", ConfigError, "did you mean 'mlp'"),
        ("user_modells:mlp", ConfigError, "cannot import module 'user_modells'"),
        ("user_models:text", ModelError, "returned a str instead of a torch.nn.Module"),
        ("user_models:broken", ModelError, "the factory failed: OSError: no such checkpoint"),
    ],
)
def test_a_factory_that_does_not_work_is_told(package, name, error, message):
    with pytest.raises(error, match=message):
        load(source(name))


def test_what_libraries_say_of_themselves_is_not_told(package, capfd):
    load(source(f"{package}:chatty"))
    assert capfd.readouterr().err == ""


def test_arguments_the_factory_does_not_take_are_told(package):
    with pytest.raises(ModelError, match=r"user_models:mlp\(widht=8\): the factory failed: TypeError"):
        load(source(f"{package}:mlp", arguments={"widht": 8}))


@pytest.mark.parametrize(
    ("model", "message"),
    [(small_mlp().state_dict(), "weights without the model"), (nn.Linear, r"give an instance: Linear\(\)"), (3, "int")],
)
def test_what_is_no_model_is_told(model, message):
    with pytest.raises(ModelError, match=message):
        load(source(model))


# -- exported programs and TorchScript -------------------------------------------------------------------------------


def program(dynamic=True):
    shapes = ({0: torch.export.Dim("batch")},) if dynamic else None
    return torch.export.export(small_cnn(), (torch.ones(2, 3, 16, 16),), dynamic_shapes=shapes)


@pytest.mark.parametrize("form", ["object", "file"])
def test_an_exported_program_is_a_model(form, tmp_path):
    given = program()
    if form == "file":
        torch.export.save(given, tmp_path / "model.pt2")
        given = tmp_path / "model.pt2"
    images = inputs_for("small_cnn")
    model = load(source(given, images))
    assert model.form is Form.EXPORTED
    assert model.inputs == (TensorSpec("x", "float32", ("batch", 3, 16, 16)),)
    expected = outputs_of(load(source(small_cnn(), images)), images)
    assert np.allclose(outputs_of(model, images), expected, atol=1e-6)


def test_an_exported_program_brings_its_own_example():
    assert load(ModelSource(program())).outputs == (TensorSpec("output", "float32", ("batch", None)),)


def test_an_exported_program_of_a_fixed_batch_says_so():
    images = inputs_for("small_cnn", samples=2)
    assert load(source(program(dynamic=False), images)).inputs[0].shape == (2, 3, 16, 16)


def test_pickles_in_an_exported_program_are_refused(tmp_path):
    import io
    import zipfile

    torch.export.save(program(), tmp_path / "good.pt2")
    evil = io.BytesIO()
    torch.save(Bomb(), evil)
    with zipfile.ZipFile(tmp_path / "good.pt2") as good, zipfile.ZipFile(tmp_path / "evil.pt2", "w") as bad:
        for name in good.namelist():
            bad.writestr(name, evil.getvalue() if "sample_inputs" in name else good.read(name))
    with pytest.raises(ModelError, match="will not be unpickled"):
        load(source(tmp_path / "evil.pt2", inputs_for("small_cnn")))


def test_a_cut_exported_program_is_told(tmp_path):
    torch.export.save(program(), tmp_path / "model.pt2")
    data = (tmp_path / "model.pt2").read_bytes()
    (tmp_path / "model.pt2").write_bytes(data[: len(data) // 2])
    with pytest.raises(ModelError, match="cut short"):
        load(source(tmp_path / "model.pt2", inputs_for("small_cnn")))


@pytest.fixture
def script():
    with pytest.warns(DeprecationWarning, match="deprecated"):
        return torch.jit.script(small_mlp())


@pytest.mark.parametrize("form", ["object", "file"])
def test_torchscript_is_a_model(script, form, tmp_path):
    if form == "file":
        with pytest.warns(DeprecationWarning, match="deprecated"):
            torch.jit.save(script, tmp_path / "model.pt")
        script = tmp_path / "model.pt"
    model = load(source(script))
    assert model.form is Form.TORCHSCRIPT
    assert np.array_equal(outputs_of(model), EXPECTED)


def test_weights_beside_torchscript_are_refused(script, tmp_path):
    with pytest.raises(ModelError, match="holds its own weights"):
        load(source(script, weights=tmp_path / "w.safetensors"))


def test_a_module_without_data_is_told():
    with pytest.raises(ModelError, match="there are no data to run it on"):
        load(ModelSource(small_mlp()))
