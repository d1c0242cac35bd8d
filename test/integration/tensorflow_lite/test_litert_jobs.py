"""LiteRT jobs as users run them: the command line, a job in a child process, and Python."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import command
import in_this_process
import numpy as np
import pytest
import small_tf
import yaml

import autoq
from autoq.adaptors.tensorflow_lite.convert import convert
from autoq.core.adaptor import ModelSource

SAMPLES = 48


@pytest.fixture(scope="module")
def model() -> Any:
    return small_tf.small_cnn()


@pytest.fixture(scope="module")
def data(model: Any) -> tuple[np.ndarray, np.ndarray]:
    images = small_tf.pictures(SAMPLES, seed=5)
    return images, np.asarray(model(images)).argmax(1)


@pytest.fixture(scope="module")
def folder(model: Any, data: tuple[np.ndarray, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A float model and its data."""
    path = tmp_path_factory.mktemp("job")
    (path / "model.tflite").write_bytes(convert(ModelSource(model))[0])
    np.savez(path / "calibration.npz", image=data[0][:16])
    np.savez(path / "evaluation.npz", image=data[0], labels=data[1])
    return path


def job(tmp_path: Path, folder: Path, approach: str = "post_training_static_quant", **tuning: Any) -> dict[str, Any]:
    return {
        "model": {"name": "small", "framework": "tensorflow_lite", "path": str(folder / "model.tflite")},
        "quantization": {
            "approach": approach,
            "calibration": {
                "sampling_size": 16,
                "dataloader": {"batch_size": 4, "dataset": {"npz": {"path": str(folder / "calibration.npz")}}},
            },
        },
        "evaluation": {
            "accuracy": {
                "metric": "top1",
                "dataloader": {
                    "batch_size": 16,
                    "dataset": {"npz": {"path": str(folder / "evaluation.npz"), "labels": "labels"}},
                },
            },
            "performance": {"warmup": 1, "iterations": 5, "cores_per_instance": 1},
        },
        "tuning": {
            "accuracy_criterion": {"relative": 0.1},
            "exit_policy": {"max_trials": 2},
            "random_seed": 0,
            "workspace": str(tmp_path / "workspace"),
            **tuning,
        },
    }


def written(tmp_path: Path, content: dict[str, Any]) -> Path:
    path = tmp_path / "job.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def saved(tmp_path: Path) -> Path:
    """The folder of the only job's model."""
    (found,) = (tmp_path / "workspace" / "jobs").glob("*/model")
    return found


@pytest.fixture(scope="module")
def tuned(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model a static job saved."""
    tmp_path = tmp_path_factory.mktemp("static")
    done = in_this_process.autoq("tune", written(tmp_path, job(tmp_path, folder)), cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    return saved(tmp_path)


def test_a_static_job_saves_a_quantized_file(tuned: Path, folder: Path) -> None:
    told = json.loads((tuned / "autoq.json").read_text(encoding="utf-8"))
    assert told["framework"] == "tensorflow_lite"
    assert (tuned / "model.tflite").stat().st_size < (folder / "model.tflite").stat().st_size


def test_a_job_in_a_child_process_prints_nothing_of_litert_s(tmp_path: Path, folder: Path) -> None:
    content = {**job(tmp_path, folder, "post_training_dynamic_quant"), "runner": {"kind": "subprocess"}}
    del content["quantization"]["calibration"]
    done = command.autoq("tune", written(tmp_path, content), cwd=tmp_path)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert not any(noise in said for noise in ("XNNPACK", "INFO:", "WARNING", "Traceback", "it/s"))


def test_where_size_counts_weights_are_packed(tmp_path: Path, folder: Path) -> None:
    content = job(tmp_path, folder, "weight_only", objective="size")
    del content["quantization"]["calibration"]
    done = in_this_process.autoq("tune", written(tmp_path, content), cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    realized = json.loads((saved(tmp_path) / "autoq.json").read_text(encoding="utf-8"))["realized"]
    assert {entry["mode"] for entry in realized["palette"]} <= {"weight_only", "fp16"}
    assert realized["ops"]


def test_a_saved_file_runs_without_autoq(tmp_path: Path, tuned: Path, data: tuple[np.ndarray, np.ndarray]) -> None:
    np.save(tmp_path / "image.npy", data[0][:1])
    code = (
        "import sys, numpy as np; from ai_edge_litert.interpreter import Interpreter;"
        f"run = Interpreter({str(tuned / 'model.tflite')!r}).get_signature_runner('serving_default');"
        f"found = run(image=np.load({str(tmp_path / 'image.npy')!r}))['scores'];"
        "print(found.argmax()); assert 'autoq' not in sys.modules"
    )
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert child.returncode == 0, child.stderr
    assert int(child.stdout.split()[-1]) == data[1][0]


def test_inspect_shows_ops_and_costs(tmp_path: Path, folder: Path) -> None:
    done = in_this_process.autoq("inspect", folder / "model.tflite", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "DEPTHWISE_CONV_2D" in done.stdout
    assert "static s8s8 per_channel minmax" in done.stdout


def test_a_keras_model_is_tuned_from_python(tmp_path: Path, model: Any, data: tuple[np.ndarray, np.ndarray]) -> None:
    images, labels = data
    result = autoq.fit(
        model,
        {
            "model": {"name": "small", "framework": "tensorflow_lite"},
            "quantization": {"approach": "post_training_static_quant"},
            "tuning": {
                "accuracy_criterion": {"relative": 0.1},
                "exit_policy": {"max_trials": 1},
                "workspace": str(tmp_path / "workspace"),
            },
        },
        images[:16],
        eval_dataloader=(images, labels),
        metric="top1",
    )
    assert result.accepted
    runner = result.model.get_signature_runner("serving_default")
    assert runner(image=images[:4])["scores"].shape == (4, 5)


@pytest.mark.parametrize(
    ("content", "told"),
    [(b"no model at all", "not a .tflite model"), (b"\x1c\x00\x00\x00TFL3" + bytes(40), "")],
    ids=["text", "damaged"],
)
def test_a_file_that_is_no_model_ends_in_one_message(tmp_path: Path, content: bytes, told: str) -> None:
    (tmp_path / "model.tflite").write_bytes(content)
    done = command.autoq("inspect", "model.tflite", "--framework", "tensorflow_lite", cwd=tmp_path)
    command.refused(done, 3, told)
