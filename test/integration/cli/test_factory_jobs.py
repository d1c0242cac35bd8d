"""Commands on a job whose model and metric are functions of modules beside the job file, or in the current folder."""

from __future__ import annotations

import sys
from pathlib import Path

import command
import numpy as np
import pytest
import yaml

import autoq

_MODULE = """
import numpy as np
import torch


def build(classes=3):
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(1, 8, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(800, classes)
    ).eval()


def score(predictions, labels):
    return float(np.mean(np.argmax(predictions, axis=1) == labels))
"""


def job(**model):
    return {
        "model": {"framework": "pytorch_eager", "path": "beside:build", **model},
        "quantization": {
            "calibration": {"sampling_size": 8, "dataloader": {"dataset": {"npz": {"path": "x.npz", "inputs": ["x"]}}}},
            "recipes": {"compile": False, "bf16": False},
        },
        "evaluation": {
            "accuracy": {
                "metric": {"name": "beside:score", "higher_is_better": True},
                "dataloader": {"dataset": {"npz": {"path": "x.npz", "inputs": ["x"], "labels": "y"}}},
            },
            "performance": {"iterations": 5},
        },
        "tuning": {"accuracy_criterion": {"absolute": 1.0}, "exit_policy": {"max_trials": 1}, "workspace": "ws"},
    }


def write_job(folder: Path, **model) -> None:
    images = np.random.default_rng(0).standard_normal((8, 1, 12, 12)).astype(np.float32)
    np.savez(folder / "x.npz", x=images, y=np.arange(8) % 3)
    (folder / "job.yaml").write_text(yaml.safe_dump(job(**model)))


@pytest.fixture
def folder(tmp_path) -> Path:
    path = tmp_path / "job"
    path.mkdir()
    write_job(path)
    return path


@pytest.fixture
def elsewhere(tmp_path) -> Path:
    path = tmp_path / "elsewhere"
    path.mkdir()
    return path


def run(*arguments, cwd):
    """As the installed command: Python itself puts no folder in front of the import path."""
    return command.autoq(*arguments, cwd=cwd, PYTHONSAFEPATH="1")


@pytest.mark.parametrize("name", ["validate", "inspect", "evaluate"])
def test_functions_beside_the_job_file(folder, elsewhere, name):
    (folder / "beside.py").write_text(_MODULE)
    done = run(name, folder / "job.yaml", cwd=elsewhere)
    assert done.returncode == 0, done.stdout + done.stderr


def test_functions_in_the_current_folder(folder, elsewhere):
    (elsewhere / "beside.py").write_text(_MODULE)
    done = run("evaluate", folder / "job.yaml", cwd=elsewhere)
    assert done.returncode == 0, done.stdout + done.stderr


def test_tune_replay_and_benchmark(folder, elsewhere):
    (folder / "beside.py").write_text(_MODULE)
    done = run("tune", folder / "job.yaml", cwd=elsewhere)
    assert done.returncode == 0, done.stdout + done.stderr
    (results,) = (folder / "ws" / "jobs").iterdir()
    again = run("replay", results, cwd=elsewhere)
    assert "scores  came out again" in again.stdout, again.stdout + again.stderr
    speed = run("benchmark", folder / "job.yaml", "--model", results / "model", "--seconds", "0.2", cwd=elsewhere)
    assert speed.returncode == 0, speed.stdout + speed.stderr


def test_validate_says_where_a_factory_is_wrong(folder, elsewhere):
    (folder / "beside.py").write_text(_MODULE)
    write_job(folder, path="beside:biuld")
    done = run("validate", folder / "job.yaml", cwd=elsewhere)
    command.refused(done, 2, "job.yaml:", "module 'beside' has no 'biuld'", "did you mean 'build'?")


def test_fit_takes_a_factorys_name(folder, monkeypatch):
    (folder / "factory_of_fit.py").write_text(_MODULE)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", list(sys.path))
    images = np.load(folder / "x.npz")
    conf = job()
    del conf["model"]["path"], conf["evaluation"]["accuracy"], conf["quantization"]["calibration"]["dataloader"]
    result = autoq.fit(
        "factory_of_fit:build", conf, images["x"], eval_dataloader=(images["x"], images["y"]), metric="top1"
    )
    assert len(result.trials) == 2
