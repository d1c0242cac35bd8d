"""The prepared networks are good, and the jobs name what is there; `make test` prepares the quick ones."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
import torch

from autoq.config.loader import load_job
from examples import fashion_mnist
from examples.assets import REPOSITORY
from examples.tensorflow import prepare
from examples.tensorflow.prepare import QUICK, job_file
from examples.tensorflow.tasks import TASKS
from examples.tensorflow.train import KERAS, folder_of, record

_LEAST = {"classifier": 0.87, "text": 0.78}
_JOBS = sorted((REPOSITORY / "examples/tensorflow/jobs").glob("*.yaml"))


def _prepared(path: Path) -> Path:
    if not path.exists():
        pytest.fail(f"run 'python -m examples.tensorflow.prepare' first: {path} is missing")
    return path


@pytest.mark.parametrize("name", QUICK)
def test_quick_networks_are_good(name: str) -> None:
    assert float(record(_prepared(folder_of(name)))["accuracy"]) >= _LEAST[name]


@pytest.mark.parametrize("path", _JOBS, ids=lambda p: p.stem)
def test_every_job_file_of_the_tensorflow_examples_loads(path: Path) -> None:
    job = load_job(path)
    assert job.model.framework == ("tensorflow_lite" if path.stem.endswith("_litert") else "tensorflow")


def test_every_network_has_a_job_for_both_runtimes() -> None:
    assert {path.stem for path in _JOBS} == {f"{name}{runtime}" for name in TASKS for runtime in ("", "_litert")}


@pytest.mark.parametrize("name", [f"{name}{runtime}" for name in QUICK for runtime in ("", "_litert")])
def test_a_job_names_files_that_exist(name: str) -> None:
    job = load_job(_prepared(job_file(name)))
    assert job.evaluation.accuracy is not None
    loaders = [job.quantization.calibration.dataloader, job.evaluation.accuracy.dataloader]
    files = [loader.dataset.npz.path for loader in loaders if loader is not None and loader.dataset.npz is not None]
    assert all(job.resolve(file).exists() for file in (*files, str(job.model.path)))


@pytest.mark.parametrize("name", QUICK)
def test_a_job_s_data_and_network_belong_together(name: str) -> None:
    job = load_job(_prepared(job_file(name)))
    assert job.evaluation.accuracy is not None
    npz = job.evaluation.accuracy.dataloader.dataset.npz
    assert npz is not None
    with np.load(job.resolve(npz.path)) as stored:
        inputs, labels = stored[next(n for n in stored.files if n != "label")][:500], stored["label"][:500]
    found = keras.models.load_model(folder_of(name) / KERAS).predict_on_batch(inputs).argmax(1)
    assert (found == labels).mean() > _LEAST[name] - 0.03


def test_an_unknown_name_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["prepare", "resnet19"])
    with pytest.raises(SystemExit):
        prepare.main()
    assert "unknown name 'resnet19'; known: resnet18, " in capsys.readouterr().err


def test_pictures_are_resized_and_normalized() -> None:
    inputs = fashion_mnist.channels_last(np.full((2, 28, 28), 73, np.uint8), 40)
    assert inputs.shape == (2, 40, 40, 1)
    assert np.allclose(inputs, 0, atol=0.01)


def test_pictures_of_their_own_size_stay_as_they_are() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (1, 28, 28)).astype(np.uint8)
    inputs = fashion_mnist.channels_last(pixels, 28)[0, ..., 0]
    assert np.allclose((inputs * 0.353 + 0.286) * 255, pixels, atol=1e-3)


def test_pictures_are_resized_as_torch_does() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 28, 28)).astype(np.uint8)
    theirs = torch.nn.functional.interpolate(
        torch.from_numpy(pixels[:, None].astype(np.float32)), size=(112, 112), mode="bilinear"
    )
    ours = (fashion_mnist.channels_last(pixels, 112)[..., 0] * 0.353 + 0.286) * 255
    assert np.allclose(ours, theirs[:, 0], atol=1e-2)
