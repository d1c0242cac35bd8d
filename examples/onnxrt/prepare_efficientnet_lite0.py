"""EfficientNet-Lite0 (ImageNet) as ONNX, with crops of real photos.

python -m examples.onnxrt.prepare_efficientnet_lite0 [--more-photos]
"""

from __future__ import annotations

import argparse
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import torch

from examples import efficientnet
from examples.onnxrt.export import export_onnx
from examples.onnxrt.photos import load_photos, make_crops
from examples.prepared import prepare

NAME = "efficientnet-lite0"
_HERE = Path(__file__).parent
_JOB = _HERE / "efficientnet_lite0.yaml"


def build(folder: Path, more_photos: bool = False) -> None:
    """Write model, crops and job file."""
    example = torch.zeros(2, 3, 224, 224)
    export_onnx(efficientnet.published(), {"input": example}, ["logits"], folder / "efficientnet_lite0.onnx")
    crops = make_crops(load_photos(more_photos), calibration=64, tune=300, held_out=200)
    for name, pixels in (("calibration", crops.calibration), ("tune", crops.tune), ("held_out", crops.held_out)):
        np.savez(folder / f"{name}.npz", input=efficientnet.normalize(pixels))
    shutil.copy(_JOB, folder / "job.yaml")


def main(more_photos: bool = False) -> Path:
    """Prepare once; returns the folder."""
    recipe = (Path(__file__), Path(efficientnet.__file__), _HERE / "photos.py", _HERE / "export.py", _JOB)
    name = f"{NAME}-more-photos" if more_photos else NAME
    return prepare(name, recipe, partial(build, more_photos=more_photos))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Prepare EfficientNet-Lite0, its crops and its job file.")
    parser.add_argument("--more-photos", action="store_true", help="add photos of Debian packages (200 MB)")
    print(main(parser.parse_args().more_photos))
