"""Fashion-MNIST (Xiao et al. 2017): small pictures of clothes in ten classes, as the networks take them."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from examples import assets

CLASSES = ("T-shirt", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
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


def network_input(pixels: NDArray[np.uint8], side: int) -> Tensor:
    """``float32 [n, 1, side, side]``: resized (bilinear), with about zero mean and unit variance."""
    resized = torch.empty(len(pixels), 1, side, side)
    # In parts: all pictures at once would need several copies in memory.
    for start in range(0, len(pixels), 1000):
        part = torch.from_numpy(pixels[start : start + 1000, None].astype(np.float32))
        resized[start : start + 1000] = torch.nn.functional.interpolate(part, size=(side, side), mode="bilinear")
    return resized.div_(255.0).sub_(_MEAN).div_(_STD)


def _read_bytes(split: str, what: Literal["images", "labels"]) -> NDArray[np.uint8]:
    name = f"{split}-{what}-idx{3 if what == 'images' else 1}-ubyte.gz"
    path = assets.fetch("fashion-mnist") / "usr/share/datasets/fashion-mnist" / name
    with gzip.open(path) as file:
        return np.frombuffer(file.read(), np.uint8, offset=_HEADER[what])
