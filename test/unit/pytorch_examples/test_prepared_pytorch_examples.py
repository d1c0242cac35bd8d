"""The trained networks are as good as their records say.

`make test` prepares the quick ones; what else was prepared, as `make bench` does, is checked as well.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from autoq.config.loader import load_job
from examples.assets import REPOSITORY, cache_root
from examples.pytorch.fashion_mnist import CLASSES
from examples.pytorch.prepare import EXAMPLES, QUICK, job_folder
from examples.pytorch.tasks import TASKS
from examples.pytorch.train import WEIGHTS, record

_LEAST = {"resnet18": 0.90, "mobilenet_v2": 0.90, "resnet50": 0.75, "detector": 0.4, "unet": 0.9, "lstm": 0.78}
"""Score on the test data."""

_WRITTEN = [name for name in EXAMPLES if name in QUICK or (job_folder(name) / "job.yaml").is_file()]
_TRAINED = [name for name in TASKS if name in QUICK or (cache_root() / "trained" / name / "receipt.json").is_file()]


def _trained(name: str) -> Path:
    folder = cache_root() / "trained" / name
    if not (folder / "receipt.json").is_file():
        pytest.fail(f"run 'python -m examples.pytorch.prepare {name}' first: {folder} is missing")
    return folder


def test_every_task_has_a_least_score() -> None:
    assert _LEAST.keys() == TASKS.keys()


@pytest.mark.parametrize("name", _TRAINED)
def test_trained_networks_are_good(name: str) -> None:
    assert float(record(_trained(name))["score"]) >= _LEAST[name]


@pytest.mark.parametrize("name", _TRAINED)
def test_trained_weights_fit_their_network(name: str) -> None:
    keys = TASKS[name].model().load_state_dict(load_file(_trained(name) / WEIGHTS))
    assert (keys.missing_keys, keys.unexpected_keys) == ([], [])


@pytest.mark.parametrize("path", sorted((REPOSITORY / "examples/pytorch/jobs").glob("*.yaml")), ids=lambda p: p.stem)
def test_every_job_file_of_the_pytorch_examples_loads(path: Path) -> None:
    assert load_job(path).tuning.strategy.name == "auto"


@pytest.mark.parametrize("name", _WRITTEN)
def test_a_job_names_files_that_exist(name: str) -> None:
    path = job_folder(name) / "job.yaml"
    if not path.is_file():
        pytest.fail(f"run 'python -m examples.pytorch.prepare {name}' first: {path} is missing")
    job = load_job(path)
    assert job.evaluation.accuracy is not None
    loaders = [job.quantization.calibration.dataloader, job.evaluation.accuracy.dataloader]
    files = [loader.dataset.npz.path for loader in loaders if loader is not None and loader.dataset.npz is not None]
    files += [] if job.model.weights is None else [job.model.weights]
    assert all(job.resolve(file).is_file() for file in files)


@pytest.mark.parametrize("name", [name for name in _TRAINED if name in ("resnet18", "mobilenet_v2", "resnet50")])
def test_a_job_s_data_and_weights_belong_together(name: str) -> None:
    job = load_job(job_folder(name) / "job.yaml")
    assert job.evaluation.accuracy is not None
    npz = job.evaluation.accuracy.dataloader.dataset.npz
    assert npz is not None
    model = TASKS[name].model()
    model.load_state_dict(load_file(job.resolve(str(job.model.weights))))
    with np.load(job.resolve(npz.path)) as stored:
        images, labels = stored["image"][:500], stored["label"][:500]
    with torch.no_grad():
        found = model(torch.from_numpy(images)).argmax(1).numpy()
    assert set(found) == set(range(len(CLASSES)))
    assert (found == labels).mean() > _LEAST[name] - 0.05
