"""The recipe for one's own images and weights."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from autoq.config.loader import load_job
from autoq.config.schema import ImagesDataset
from autoq.data.images import ImageTable
from examples.pytorch import imagenet, models

_CLASSES = ("n01", "n02", "n03")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes, told apart by their shade."""
    folder = tmp_path_factory.mktemp("images")
    for label, name in enumerate(_CLASSES):
        (folder / name).mkdir()
        for i in range(5):
            Image.new("RGB", (260, 300), (80 * label, 0, 0)).save(folder / name / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "mobilenet.pth"
    torch.save(models.mobilenet_v2(num_classes=3).state_dict(), path)
    return path


def _write(out: Path, images: Path, weights: Path, calibration: Path | None = None, samples: int = 4) -> Path:
    return imagenet.write_job(out, "mobilenet_v2", weights, images, calibration, "pytorch_fx", samples)


def test_every_image_is_used_once(tmp_path: Path, images: Path, weights: Path) -> None:
    _write(tmp_path / "job", images, weights)
    used = [p.resolve() for part in ("calibration", "evaluation") for p in (tmp_path / "job" / part).iterdir()]
    assert sorted(used) == sorted(images.rglob("*.png"))


def test_the_job_reads_images_with_their_classes(tmp_path: Path, images: Path, weights: Path) -> None:
    job = load_job(_write(tmp_path / "job", images, weights))
    assert job.evaluation.accuracy is not None
    spec = job.evaluation.accuracy.dataloader.dataset.images
    assert isinstance(spec, ImagesDataset)
    table = ImageTable(spec, job.base)
    reds = np.asarray(table.inputs(np.arange(table.rows)))[:, 0, 0, 0]
    shades = (np.array([0, 80, 160]) / 255 - 0.485) / 0.229
    assert np.allclose(reds, shades[table.labels(np.arange(table.rows))], atol=1e-5)


def test_classes_come_mixed(tmp_path: Path, images: Path, weights: Path) -> None:
    _write(tmp_path / "job", images, weights)
    with (tmp_path / "job" / "labels.csv").open() as file:
        labels = [row[1] for row in csv.reader(file)]
    assert labels != sorted(labels)


def test_calibration_images_may_come_from_elsewhere(tmp_path: Path, images: Path, weights: Path) -> None:
    (tmp_path / "train" / "n01").mkdir(parents=True)
    Image.new("RGB", (260, 260)).save(tmp_path / "train" / "n01" / "a.png")
    _write(tmp_path / "job", images, weights, calibration=tmp_path / "train")
    assert [p.resolve().parent.name for p in (tmp_path / "job" / "calibration").iterdir()] == ["n01"]
    assert len(list((tmp_path / "job" / "evaluation").iterdir())) == 15


def test_the_job_names_network_and_classes(tmp_path: Path, images: Path, weights: Path) -> None:
    job = yaml.safe_load(_write(tmp_path / "job", images, weights).read_text())
    assert job["model"] == {
        "name": "MobileNetV2",
        "framework": "pytorch_fx",
        "path": "examples.pytorch.models:mobilenet_v2",
        "arguments": {"num_classes": 3},
        "weights": "weights.pth",
    }


def test_another_number_of_classes_is_refused(tmp_path: Path, images: Path) -> None:
    torch.save(models.mobilenet_v2(num_classes=4).state_dict(), tmp_path / "four.pth")
    with pytest.raises(imagenet.RecipeError, match="3 sub-folders, the weights know 4 classes"):
        _write(tmp_path / "job", images, tmp_path / "four.pth")


def test_weights_of_another_network_are_refused(tmp_path: Path, images: Path, weights: Path) -> None:
    with pytest.raises(imagenet.RecipeError, match=r"no state dict of resnet18: it lacks bn1\.bias"):
        imagenet.write_job(tmp_path / "job", "resnet18", weights, images, None, "pytorch_fx", 4)


def test_a_whole_checkpoint_is_refused(tmp_path: Path, images: Path) -> None:
    torch.save({"epoch": 3, "state_dict": {}}, tmp_path / "checkpoint.pth")
    with pytest.raises(imagenet.RecipeError, match="more than a state dict"):
        _write(tmp_path / "job", images, tmp_path / "checkpoint.pth")


def test_a_folder_without_classes_is_refused(tmp_path: Path, weights: Path) -> None:
    with pytest.raises(imagenet.RecipeError, match="one sub-folder per class"):
        imagenet.read_folder(tmp_path)


def test_a_folder_in_use_is_left_alone(tmp_path: Path, images: Path, weights: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(imagenet.RecipeError, match="is not empty"):
        _write(tmp_path, images, weights)


def test_too_few_images_to_set_aside_are_refused(tmp_path: Path, images: Path, weights: Path) -> None:
    with pytest.raises(imagenet.RecipeError, match="too few to set 15 aside"):
        _write(tmp_path / "job", images, weights, samples=15)


@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
def test_a_damaged_state_dict_is_a_clear_error(tmp_path: Path, images: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"no weights at all")
    with pytest.raises(imagenet.RecipeError, match="cannot be read as a state dict"):
        _write(tmp_path / "job", images, tmp_path / name)
