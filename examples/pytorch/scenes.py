"""Scenes: Fashion-MNIST pictures strewn over a canvas, so that boxes and masks are exactly known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from examples.prepared import prepare
from examples.pytorch import fashion_mnist

SIDE = 96
BACKGROUND = 10
"""Class of the pixels that belong to no picture; the others are those of Fashion-MNIST."""

_SMALLEST, _LARGEST = 18, 44
_MOST = 5
_VISIBLE = 40
"""Grey value from which a pixel belongs to its picture."""
_VISIBLE_SHARE = 0.12
"""Darker pictures are not used."""
TRAINING_SEED, _CALIBRATION_SEED, _TEST_SEED = range(3)


@dataclass(frozen=True, eq=False)
class Scenes:
    """Canvases with what lies on them.

    Attributes:
        images: ``uint8 [n, side, side]``.
        masks: ``uint8 [n, side, side]``: class of each pixel.
        boxes: Per scene ``[k, 5]``: x1, y1, x2, y2, class; the tightest box around the visible pixels.
    """

    images: NDArray[np.uint8]
    masks: NDArray[np.uint8]
    boxes: list[NDArray[np.float32]]


def make_scenes(pictures: fashion_mnist.Pictures, count: int, seed: int) -> Scenes:
    """Random scenes, the same for the same seed; pictures do not overlap."""
    rng = np.random.default_rng([7, seed])
    images = rng.integers(0, 24, (count, SIDE, SIDE), dtype=np.uint8)
    masks = np.full((count, SIDE, SIDE), BACKGROUND, np.uint8)
    boxes = []
    for image, mask in zip(images, masks, strict=True):
        found: list[tuple[float, ...]] = []
        wanted = int(rng.integers(1, _MOST + 1))
        # A place may be taken, or a picture too dark to be seen: then another one is tried, a few times.
        for _ in range(3 * wanted):
            box = _place(image, mask, pictures, rng) if len(found) < wanted else None
            found += [] if box is None else [box]
        boxes.append(np.array(found, np.float32).reshape(-1, 5))
    return Scenes(images, masks, boxes)


def network_input(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """``float32 [n, 1, side, side]`` in -1 to 1."""
    return (images[:, None].astype(np.float32) / 127.5 - 1.0).astype(np.float32)


def build(folder: Path) -> None:
    """Write ``calibration.npz`` (training pictures) and ``test.npz`` (test pictures, with masks and boxes)."""
    sets = {
        "calibration": make_scenes(fashion_mnist.read("train"), 128, _CALIBRATION_SEED),
        "test": make_scenes(fashion_mnist.read("t10k"), 1000, _TEST_SEED),
    }
    for name, scenes in sets.items():
        np.savez(
            folder / f"{name}.npz",
            image=network_input(scenes.images),
            mask=scenes.masks.astype(np.int64),
            boxes=np.concatenate(scenes.boxes),
            counts=np.array([len(b) for b in scenes.boxes]),
        )


def labelled(
    split: str = "test", batch_size: int = 1, folder: Path | None = None
) -> Iterator[tuple[NDArray[np.float32], list[NDArray[np.float32]]]]:
    """Batches of scenes with one array ``[k, 5]`` of boxes each: data for a job's ``python`` dataset.

    Args:
        split: ``calibration`` or ``test``.
        batch_size: Scenes per batch.
        folder: Where they lie; the prepared ones by default.
    """
    with np.load((folder or main()) / f"{split}.npz") as stored:
        images, counts, rows = stored["image"], stored["counts"], stored["boxes"]
    boxes = np.split(rows, np.cumsum(counts)[:-1])
    for start in range(0, len(images), batch_size):
        yield images[start : start + batch_size], boxes[start : start + batch_size]


def main() -> Path:
    """Prepare once; returns the folder."""
    return prepare("scenes", (Path(__file__), Path(fashion_mnist.__file__)), build)


def _place(
    image: NDArray[np.uint8], mask: NDArray[np.uint8], pictures: fashion_mnist.Pictures, rng: np.random.Generator
) -> tuple[float, ...] | None:
    index = int(rng.integers(len(pictures.labels)))
    side = int(rng.integers(_SMALLEST, _LARGEST + 1))
    picture = Image.fromarray(pictures.pixels[index]).resize((side, side), Image.Resampling.BILINEAR)
    item = np.asarray(picture)
    visible = item >= _VISIBLE
    if rng.random() < 0.5:
        item, visible = item[:, ::-1], visible[:, ::-1]
    x, y = (int(v) for v in rng.integers(0, SIDE - side + 1, 2))
    window = (slice(y, y + side), slice(x, x + side))
    if visible.mean() < _VISIBLE_SHARE:
        return None
    columns, rows = np.flatnonzero(visible.any(axis=0)), np.flatnonzero(visible.any(axis=1))
    box = (slice(y + rows[0], y + rows[-1] + 1), slice(x + columns[0], x + columns[-1] + 1))
    if (mask[box] != BACKGROUND).any():
        return None
    label = int(pictures.labels[index])
    image[window][visible] = item[visible]
    mask[window][visible] = label
    return float(box[1].start), float(box[0].start), float(box[1].stop), float(box[0].stop), label
