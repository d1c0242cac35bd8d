"""Makes a job of your own ImageNet copy (or any folder with one sub-folder of images per class) and your own weights.

python -m examples.pytorch.imagenet FOLDER --network resnet18 --weights resnet18.pth [--calibration FOLDER] --out JOB

The job's folder holds links to the images in random order: whatever reads the first images then sees all classes.
"""

from __future__ import annotations

import argparse
import csv
import pickle
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from examples.pytorch import models

NETWORKS = {"resnet18": models.resnet18, "resnet50": models.resnet50, "mobilenet_v2": models.mobilenet_v2}
_TITLES = {"resnet18": "ResNet18", "resnet50": "ResNet50", "mobilenet_v2": "MobileNetV2"}
_LAST = {"resnet18": "fc.bias", "resnet50": "fc.bias", "mobilenet_v2": "classifier.1.bias"}
_JOB = Path(__file__).parent / "jobs" / "imagenet.yaml"


class RecipeError(ValueError):
    """Images or weights do not fit; the message says what to do."""


@dataclass(frozen=True)
class Pictures:
    """Image files and their classes, numbered in the order of the sub-folders' names, as ImageNet's are."""

    files: tuple[Path, ...]
    labels: tuple[int, ...]
    classes: int


def read_folder(folder: Path) -> Pictures:
    """The images of a folder with one sub-folder per class.

    Raises:
        RecipeError: It has no sub-folders, or no images.
    """
    if not folder.is_dir():
        raise RecipeError(f"no such folder: '{folder}'")
    known = set(Image.registered_extensions())
    names = sorted(p.name for p in folder.iterdir() if p.is_dir())
    files, labels = [], []
    for label, name in enumerate(names):
        found = sorted(p for p in (folder / name).rglob("*") if p.suffix.lower() in known)
        files += found
        labels += [label] * len(found)
    if not files:
        raise RecipeError(f"'{folder}' holds no images in sub-folders; there must be one sub-folder per class")
    return Pictures(tuple(files), tuple(labels), len(names))


def check_weights(network: str, path: Path) -> int:
    """Number of classes that a state dict was trained for.

    Raises:
        RecipeError: It cannot be read, or is of another network.
    """
    state = _read_state(path)
    expected = NETWORKS[network]().state_dict()
    missing, unknown = sorted(expected.keys() - state.keys()), sorted(state.keys() - expected.keys())
    if missing or unknown:
        found = f"lacks {missing[0]}" if missing else f"also holds {unknown[0]}"
        raise RecipeError(f"'{path}' is no state dict of {network}: it {found}")
    return len(state[_LAST[network]])


def write_job(
    out: Path, network: str, weights: Path, evaluation: Path, calibration: Path | None, framework: str, samples: int
) -> Path:
    """Write the job's folder; returns the job file.

    Args:
        out: Folder to make; it must not exist, or be empty.
        network: One of `NETWORKS`.
        weights: State dict.
        evaluation: Folder with one sub-folder per class.
        calibration: Another such folder, usually the training set; without it, images are set aside from `evaluation`.
        framework: The job's ``framework``.
        samples: Images to calibrate on.

    Raises:
        RecipeError: Images or weights do not fit.
    """
    if out.exists() and any(out.iterdir()):
        raise RecipeError(f"'{out}' is not empty; give another folder, or remove it")
    classes = check_weights(network, weights)
    pictures = read_folder(evaluation)
    if pictures.classes != classes:
        raise RecipeError(
            f"'{evaluation}' has {pictures.classes} sub-folders, the weights know {classes} classes; "
            "a class is numbered by its sub-folder's place among all, so add empty ones for classes without images"
        )
    order = np.random.default_rng(0).permutation(len(pictures.files))
    if calibration is None:
        if len(order) <= samples:
            raise RecipeError(f"'{evaluation}' has {len(order)} images, too few to set {samples} aside")
        chosen, order = [pictures.files[i] for i in order[:samples]], order[samples:]
    else:
        others = read_folder(calibration).files
        chosen = [others[i] for i in np.random.default_rng(0).permutation(len(others))[:samples]]
    _link(chosen, out / "calibration")
    names = _link([pictures.files[i] for i in order], out / "evaluation")
    with (out / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(zip(names, (pictures.labels[i] for i in order), strict=True))
    stored = out / f"weights{weights.suffix}"
    stored.symlink_to(weights.resolve())
    job = out / "job.yaml"
    job.write_text(_job_text(network, classes, stored.name, framework, samples), encoding="utf-8")
    return job


def _read_state(path: Path) -> dict[str, Tensor]:
    try:
        state = (
            load_file(path)
            if path.suffix == ".safetensors"
            else torch.load(path, map_location="cpu", weights_only=True)
        )
    except (OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError, SafetensorError) as error:
        raise RecipeError(f"'{path}' cannot be read as a state dict: {error}") from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise RecipeError(f"'{path}' holds more than a state dict; save model.state_dict() alone")
    return state


def _link(files: list[Path], folder: Path) -> list[str]:
    folder.mkdir(parents=True)
    names = [f"{i:06}{file.suffix}" for i, file in enumerate(files)]
    for name, file in zip(names, files, strict=True):
        (folder / name).symlink_to(file.resolve())
    return names


def _job_text(network: str, classes: int, weights: str, framework: str, samples: int) -> str:
    job: dict[str, Any] = yaml.safe_load(_JOB.read_text(encoding="utf-8"))
    job["model"] = {
        "name": _TITLES[network],
        "framework": framework,
        "path": f"examples.pytorch.models:{network}",
        "arguments": {"num_classes": classes},
        "weights": weights,
    }
    job["quantization"]["calibration"]["sampling_size"] = samples
    return yaml.safe_dump(job, sort_keys=False)


def main() -> int:
    """Write the job that the command line describes."""
    parser = argparse.ArgumentParser(description="Make a job of a folder of images per class and a state dict.")
    parser.add_argument("folder", type=Path, help="evaluation images: one sub-folder per class")
    parser.add_argument("--network", choices=sorted(NETWORKS), required=True)
    parser.add_argument("--weights", type=Path, required=True, help="state dict: .pth, .pt or .safetensors")
    parser.add_argument("--calibration", type=Path, help="training images; without, some of FOLDER are set aside")
    parser.add_argument("--framework", default="pytorch_pt2e", help="pytorch_pt2e, pytorch_fx or pytorch_eager")
    parser.add_argument("--samples", type=int, default=256, help="images to calibrate on")
    parser.add_argument("--out", type=Path, required=True, help="folder of the job")
    given = parser.parse_args()
    try:
        job = write_job(
            given.out, given.network, given.weights, given.folder, given.calibration, given.framework, given.samples
        )
    except RecipeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(job)
    return 0


if __name__ == "__main__":
    sys.exit(main())
