"""Fashion-MNIST (Xiao et al. 2017): small pictures of clothes in ten classes, as the networks take them."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from examples import assets
from examples.prepared import prepare

CLASSES = ("T-shirt", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
SIDE = 32
CALIBRATION = 512
"""Pictures for calibration: the first ones of the training set, which is in random order."""

_MEAN, _STD = 0.286, 0.353
_HEADER = {"images": 16, "labels": 8}


@dataclass(frozen=True, eq=False)
class Pictures:
    """Pictures ``uint8 [n, 28, 28]`` and their classes ``int64 [n]``."""

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]


def read(split: Literal["train", "t10k"]) -> Pictures:
    """All pictures of the training (60,000) or the test set (10,000), in the published order."""
    pixels = _read_bytes(split, "images").reshape(-1, 28, 28)
    return Pictures(pixels, _read_bytes(split, "labels").astype(np.int64))


def network_input(pixels: NDArray[np.uint8], side: int = SIDE) -> Tensor:
    """``float32 [n, 1, side, side]``: resized (bilinear), with about zero mean and unit variance."""
    resized = torch.empty(len(pixels), 1, side, side)
    # In parts: all pictures at once would need several copies in memory.
    for start in range(0, len(pixels), 1000):
        part = torch.from_numpy(pixels[start : start + 1000, None].astype(np.float32))
        resized[start : start + 1000] = torch.nn.functional.interpolate(part, size=(side, side), mode="bilinear")
    return resized.div_(255.0).sub_(_MEAN).div_(_STD)


def build(folder: Path) -> None:
    """Write ``calibration.npz`` (training pictures) and ``test.npz`` (all test pictures and their labels)."""
    np.savez(folder / "calibration.npz", image=network_input(read("train").pixels[:CALIBRATION]).numpy())
    test = read("t10k")
    np.savez(folder / "test.npz", image=network_input(test.pixels).numpy(), label=test.labels)


def main() -> Path:
    """Prepare once; returns the folder."""
    return prepare("fashion-mnist", (Path(__file__),), build)


def _read_bytes(split: str, what: Literal["images", "labels"]) -> NDArray[np.uint8]:
    name = f"{split}-{what}-idx{3 if what == 'images' else 1}-ubyte.gz"
    path = assets.fetch("fashion-mnist") / "usr/share/datasets/fashion-mnist" / name
    with gzip.open(path) as file:
        return np.frombuffer(file.read(), np.uint8, offset=_HEADER[what])
