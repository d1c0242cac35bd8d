"""Which framework reads what a path leads to, and which of its signatures."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from autoq.cli.inspect import _guess
from autoq.cli.main import app
from autoq.config.files import missing_files
from autoq.config.loader import parse_job
from autoq.core.errors import ConfigError, ModelError
from autoq.tuning import assemble
from autoq.tuning.assemble import model_source


def job_of(model: str, base: Path = Path()):
    return parse_job(f"model: {{{model}}}\n", "job.yaml", base)


@pytest.mark.parametrize(
    ("framework", "path", "hint"),
    [
        ("tensorflow", "net.tflite", "write framework: tensorflow_lite"),
        ("tensorflow", "net.onnx", "write framework: onnxrt_qdq or"),
        ("onnxrt_qdq", "net.keras", "write framework: tensorflow or tensorflow_lite"),
        ("pytorch_fx", "net.h5", "write framework: tensorflow or tensorflow_lite"),
        ("openvino", "net.pb", "write framework: tensorflow or tensorflow_lite"),
    ],
)
def test_a_file_of_another_framework_is_told_with_what_to_write(framework, path, hint):
    with pytest.raises(ConfigError, match=r"job\.yaml:1:20: model\.path '.*' is an? .*, which framework") as raised:
        job_of(f"framework: {framework}, path: {path}")
    assert hint in str(raised.value)


@pytest.mark.parametrize("path", ["net.keras", "net.h5", "net.pb", "saved", "net.tflite"])
def test_litert_reads_every_kind_of_tensorflow_model(path):
    assert job_of(f"framework: tensorflow_lite, path: {path}").model.path == path


def test_a_folder_of_another_framework_is_told_with_what_to_write(tmp_path):
    saved = tmp_path / "saved"
    saved.mkdir()
    (saved / "saved_model.pb").touch()
    problems = missing_files(job_of("framework: onnxrt_qdq, path: saved", tmp_path))
    assert "holds a SavedModel, which framework onnxrt_qdq does not read" in problems[0].message
    assert problems[0].hint == "write framework: tensorflow or tensorflow_lite"
    found = missing_files(job_of("framework: tensorflow, path: saved", tmp_path))
    assert not any("holds" in p.message for p in found)


def test_the_signature_reaches_the_framework(tmp_path):
    job = job_of("framework: tensorflow, path: saved, signature: encode", tmp_path)
    assert model_source(job).options["signature"] == "encode"
    assert model_source(job_of("framework: tensorflow, path: saved", tmp_path)).options["signature"] is None


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("framework: onnxrt_qdq, path: net.onnx", "framework onnxrt_qdq has none"),
        ("framework: tensorflow, path: net.keras", "'net.keras' is a Keras model"),
    ],
)
def test_a_signature_that_nobody_would_read_is_refused(model, said):
    with pytest.raises(ConfigError, match=r"job\.yaml:1:\d+: model\.signature is for") as raised:
        job_of(f"{model}, signature: encode")
    assert said in str(raised.value)


def test_weights_of_a_tensorflow_model_lie_in_the_model():
    with pytest.raises(ConfigError, match=r"model\.weights is not read by framework tensorflow"):
        job_of("framework: tensorflow, path: saved, weights: w.safetensors")


def test_arguments_are_those_of_a_factory():
    with pytest.raises(ConfigError, match=r"model\.arguments are those of a factory"):
        job_of("framework: tensorflow, path: saved, arguments: {a: 1}")


def test_a_tensorflow_model_may_come_from_a_factory(tmp_path, monkeypatch):
    monkeypatch.setattr(assemble, "make_adaptor", lambda _: None)
    (tmp_path / "my_keras_models_of_test.py").write_text("def build(width=1):\n    return {'width': width}\n")
    job = job_of("framework: tensorflow, path: 'my_keras_models_of_test:build', arguments: {width: 3}", tmp_path)
    assert model_source(job).model == {"width": 3}


def test_a_factory_that_fails_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(assemble, "make_adaptor", lambda _: None)
    (tmp_path / "my_broken_models_of_test.py").write_text("def build():\n    raise KeyError('layers')\n")
    with pytest.raises(ModelError, match="the factory failed: KeyError"):
        model_source(job_of("framework: tensorflow_lite, path: 'my_broken_models_of_test:build'", tmp_path))


@pytest.mark.parametrize(
    ("name", "framework"),
    [("a.onnx", "onnxrt_qdq"), ("a.TFLITE", "tensorflow_lite"), ("a.keras", "tensorflow"), ("a.pb", "tensorflow")],
)
def test_the_framework_of_a_model_is_guessed_from_its_name_and_said(name, framework):
    guessed, said = _guess(Path(name))
    assert guessed == framework
    assert f"shown for framework {framework}" in said


def test_the_framework_of_a_folder_is_guessed_from_what_it_holds(tmp_path):
    (tmp_path / "saved_model.pb").touch()
    assert _guess(tmp_path)[0] == "tensorflow"


def test_what_tells_nothing_is_taken_for_onnx_without_a_word(tmp_path):
    assert _guess(tmp_path / "model.bin") == ("onnxrt_qdq", "")


def test_inspect_refuses_a_framework_that_does_not_read_the_model(tmp_path):
    (tmp_path / "a.tflite").touch()
    result = CliRunner().invoke(app, ["inspect", str(tmp_path / "a.tflite"), "--framework", "tensorflow"])
    assert isinstance(result.exception, ConfigError)
    assert "a LiteRT model, which framework tensorflow does not read" in str(result.exception)
