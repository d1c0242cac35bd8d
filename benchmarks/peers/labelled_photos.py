"""Crops of the 20 ImageNet photos that foolbox ships; the class stands in the file name.

Crops of one photo resemble each other: 300 crops tell less than 300 photos would.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from examples.efficientnet import normalize
from examples.onnxrt.photos import SIDE, load_photos

_TUNED = 12
_CROPS = {"calibration": 64, "tune": 300, "held_out": 200}
_AREA = (0.5, 1.0)
"""Share of the photo's largest square that a crop covers: nearly the whole thing, as classifiers are used."""


def make() -> Mapping[str, tuple[NDArray[np.float32], NDArray[np.int64]]]:
    """Inputs and classes by set; the held-out crops are of photos of their own."""
    photos = {name: image for name, image in load_photos().items() if name.startswith("imagenet_")}
    rng = np.random.default_rng(0)
    names = [list(photos)[i] for i in rng.permutation(len(photos))]
    sets = {}
    for which, count in _CROPS.items():
        chosen = names[_TUNED:] if which == "held_out" else names[:_TUNED]
        pixels = np.stack([_crop(photos[chosen[i % len(chosen)]], rng) for i in range(count)])
        labels = np.array([int(chosen[i % len(chosen)].rpartition("_")[2]) for i in range(count)], np.int64)
        sets[which] = (normalize(pixels), labels)
    return sets


def _crop(photo: Image.Image, rng: np.random.Generator) -> NDArray[np.uint8]:
    side = min(photo.size) * float(np.sqrt(rng.uniform(*_AREA)))
    left, top = (rng.uniform(0, extent - side) for extent in photo.size)
    box = (left, top, left + side, top + side)
    pixels = np.asarray(photo.resize((SIDE, SIDE), Image.Resampling.BICUBIC, box=box))
    return pixels[:, ::-1] if rng.random() < 0.5 else pixels
