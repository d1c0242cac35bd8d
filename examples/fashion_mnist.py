"""Fashion-MNIST (Xiao et al. 2017): small pictures of clothes in ten classes. Needs NumPy only."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from examples import assets

CLASSES = ("T-shirt", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
_MEAN, _STD = 0.286, 0.353
_SIDE = 28
_HEADER = {"images": 16, "labels": 8}


@dataclass(frozen=True, eq=False)
class Pictures:
    """Pictures ``uint8 [n, 28, 28]`` and their classes ``int64 [n]``."""

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]


def read(split: Literal["train", "t10k"]) -> Pictures:
    """All pictures of the training (60,000) or the test set (10,000), in the published order."""
    pixels = _read_bytes(split, "images").reshape(-1, _SIDE, _SIDE)
    return Pictures(pixels, _read_bytes(split, "labels").astype(np.int64))


def channels_last(pixels: NDArray[np.uint8], side: int) -> NDArray[np.float32]:
    """``float32 [n, side, side, 1]``: resized (bilinear), with about zero mean and unit variance."""
    # Bilinear resizing is linear in the rows and in the columns.
    weights = _bilinear(side)
    normalized = (pixels.astype(np.float32) / 255 - _MEAN) / _STD
    return np.ascontiguousarray((weights @ normalized @ weights.T)[..., None])


def _bilinear(side: int) -> NDArray[np.float32]:
    """Share of each of 28 pixels in each of `side` pixels along an axis; pixels are at their centres."""
    places = np.clip((np.arange(side) + 0.5) * _SIDE / side - 0.5, 0, _SIDE - 1)
    distances = np.abs(places[:, None] - np.arange(_SIDE))
    return np.maximum(0, 1 - distances).astype(np.float32)


def _read_bytes(split: str, what: Literal["images", "labels"]) -> NDArray[np.uint8]:
    name = f"{split}-{what}-idx{3 if what == 'images' else 1}-ubyte.gz"
    path = assets.fetch("fashion-mnist") / "usr/share/datasets/fashion-mnist" / name
    with gzip.open(path) as file:
        return np.frombuffer(file.read(), np.uint8, offset=_HEADER[what])
