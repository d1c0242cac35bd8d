"""`autoq init` and `autoq validate`."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from autoq.cli import init, validate
from autoq.config.loader import load_job
from autoq.core.errors import ConfigError

app = typer.Typer()
app.command("init")(init.command)
app.command("validate")(validate.command)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments, catch_exceptions=False)


def runnable(folder: Path) -> Path:
    for name in ("model.onnx", "calibration.npz", "evaluation.npz"):
        (folder / name).write_bytes(b"x")
    run("init")
    return folder / "job.yaml"


def test_init_writes_a_valid_job_and_says_what_next(folder: Path) -> None:
    result = run("init", "--framework", "onnxrt_qdq", "--approach", "auto", "-o", "jobs/a.yaml")
    assert load_job(folder / "jobs/a.yaml").quantization.approach == "post_training_auto_quant"
    assert "autoq tune jobs/a.yaml" in result.output


def test_init_does_not_overwrite(folder: Path) -> None:
    (folder / "job.yaml").write_text("mine")
    with pytest.raises(ConfigError, match="is not overwritten"):
        run("init")
    assert (folder / "job.yaml").read_text() == "mine"


def test_init_overwrites_when_forced(folder: Path) -> None:
    (folder / "job.yaml").write_text("mine")
    run("init", "--force")
    assert load_job(folder / "job.yaml").model.path == "model.onnx"


@pytest.mark.parametrize("name", ["net.onnx", 'a "b" #c: é.onnx', "no", "010"])
def test_init_writes_the_models_path_relative_to_the_job(folder: Path, name: str) -> None:
    (folder / name).touch()
    run("init", "--model", name, "-o", "jobs/a.yaml")
    job = load_job(folder / "jobs/a.yaml")
    assert job.resolve(job.model.path or "").resolve() == (folder / name).resolve()
    assert job.model.name == Path(name).stem


def test_init_writes_a_factory_as_it_is(folder: Path) -> None:
    run("init", "--framework", "pytorch_fx", "--model", "my_models:build", "-o", "jobs/a.yaml")
    job = load_job(folder / "jobs/a.yaml")
    assert (job.model.path, job.model.name) == ("my_models:build", "build")


def test_init_keeps_the_comments(folder: Path) -> None:
    (folder / "net.onnx").touch()
    run("init", "--model", "net.onnx")
    assert "# shown in reports" in (folder / "job.yaml").read_text()


def test_init_refuses_a_model_that_does_not_exist() -> None:
    with pytest.raises(ConfigError, match=r"there is no model 'no\.onnx'"):
        run("init", "--model", "no.onnx")


def test_init_says_when_it_cannot_write(folder: Path) -> None:
    (folder / "file").touch()
    with pytest.raises(ConfigError, match="cannot be written"):
        run("init", "-o", "file/job.yaml")


def test_validate_says_what_the_job_will_do(folder: Path) -> None:
    output = run("validate", str(runnable(folder))).output
    for said in (
        "is valid",
        "top1: at most 1 % loss",
        "until 100 trials or 1 h",
        "30 % of the samples",
        "child process",
    ):
        assert said in output


def test_validate_tells_every_missing_file_with_its_place(folder: Path) -> None:
    run("init")
    (folder / "modell.onnx").touch()
    with pytest.raises(ConfigError) as caught:
        run("validate", "job.yaml")
    message = str(caught.value)
    assert "job.yaml:12:9: 'model.onnx' does not exist\n  → did you mean 'modell.onnx'?" in message
    assert "'calibration.npz' does not exist" in message
    assert "'evaluation.npz' does not exist" in message


def test_validate_tells_an_unknown_metric_with_its_place(folder: Path) -> None:
    job = runnable(folder)
    job.write_text(job.read_text().replace("metric: top1", "metric: top11"))
    with pytest.raises(ConfigError, match=r"job\.yaml:\d+:13: unknown metric 'top11'\n.*did you mean 'top1'"):
        run("validate", "job.yaml")


def test_validate_tells_an_unknown_postprocess_step_with_its_place(folder: Path) -> None:
    job = runnable(folder)
    job.write_text(job.read_text().replace("metric: top1", "metric: top1\n    postprocess: [softmax, squeez]"))
    with pytest.raises(ConfigError, match=r"job\.yaml:\d+:28: .*'squeez'.*\n.*did you mean 'squeeze'"):
        run("validate", "job.yaml")


def test_validate_tells_what_the_command_line_needs(folder: Path) -> None:
    (folder / "job.yaml").write_text("model: {framework: toy}\n")
    with pytest.raises(ConfigError) as caught:
        run("validate", "job.yaml")
    assert "job.yaml:1:1: model lacks the key 'path'" in str(caught.value)
    assert "does not say how to score a model" in str(caught.value)


def test_validate_tells_a_missing_dataloader(folder: Path) -> None:
    (folder / "m").touch()
    (folder / "job.yaml").write_text("model: {framework: toy, path: m}\nevaluation: {accuracy: {metric: f1}}\n")
    with pytest.raises(ConfigError, match=r"job\.yaml:2:14: evaluation\.accuracy lacks the key 'dataloader'"):
        run("validate", "job.yaml")


def test_validate_notes_missing_held_out_data(folder: Path) -> None:
    job = runnable(folder)
    job.write_text(job.read_text().replace("held_out: 0.3", "held_out: 0"))
    assert "no held-out data" in run("validate", "job.yaml").output


def test_validate_knows_the_direction_of_metrics(folder: Path) -> None:
    job = runnable(folder)
    text = job.read_text().replace("metric: top1", "metric: mse")
    job.write_text(text.replace("    confidence: 0.95", "    higher_is_better: false"))
    assert "mse: at most 1 % loss" in run("validate", "job.yaml").output


def test_validate_prints_the_schema() -> None:
    assert json.loads(run("validate", "--print-schema").output)["title"] == "autoq job"


def test_validate_writes_the_schema(folder: Path) -> None:
    run("validate", "--schema-out", "job.schema.json")
    assert json.loads((folder / "job.schema.json").read_text())["required"] == ["model"]


def test_validate_without_anything_to_do_says_so() -> None:
    with pytest.raises(ConfigError, match="name a job file to check"):
        run("validate")
