"""Square crops of real photos: calibration, tune and held-out, the last from photos of their own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_sample_images

from examples import assets

SIDE = 224

# Photos of things; the microscope pictures, drawings and textures of the same package are left out.
_SCIKIT_IMAGE = ("astronaut", "camera", "chelsea", "coffee", "coins", "motorcycle_left", "retina", "rocket")

_STAMPS = ("animals", "food", "household", "plants", "vehicles")
_SMALLEST_STAMP = 120

# Share of the photo's largest square that a crop covers. Crops of whole photos are too easy: int8 hardly changes the
# answer. These show parts of things, 76 classes in 300 crops, and make a search worth while.
_AREA = (0.05, 0.4)

Crops = NDArray[np.uint8]


@dataclass(frozen=True)
class CropSets:
    """Crops ``[n, 224, 224, 3]``, RGB.

    Attributes:
        calibration: For ranges; other crops of the tune photos.
        tune: For the search.
        held_out: For the final verdict, of photos the other two never saw.
    """

    calibration: Crops
    tune: Crops
    held_out: Crops


def load_photos(more: bool = False) -> dict[str, Image.Image]:
    """Photos by name, in a fixed order: 20 of ImageNet (foolbox), 8 of scikit-image, 2 of scikit-learn.

    Args:
        more: Add Debian's nature backgrounds and stamps of real things: about 200 MB to download.
    """
    foolbox = assets.fetch("foolbox") / "foolbox" / "data"
    skimage = assets.fetch("scikit-image") / "skimage" / "data"
    photos = {path.stem: _open(path) for path in sorted(foolbox.glob("imagenet_*.jpg"))}
    for name in _SCIKIT_IMAGE:
        photos[name] = _open(next(skimage.glob(f"{name}.*")))
    samples = load_sample_images()
    for path, pixels in zip(samples.filenames, samples.images, strict=True):
        photos[Path(path).stem] = Image.fromarray(pixels)
    if more:
        photos |= _backgrounds() | _stamps()
    return photos


def make_crops(photos: dict[str, Image.Image], calibration: int, tune: int, held_out: int, seed: int = 0) -> CropSets:
    """Crops of random place, size and mirroring; two photos of five are kept for `held_out`."""
    rng = np.random.default_rng(seed)
    names = list(photos)
    order = [names[i] for i in rng.permutation(len(names))]
    count = len(order) * 2 // 5
    kept, seen = order[:count], order[count:]
    return CropSets(
        _crops([photos[n] for n in seen], calibration, rng),
        _crops([photos[n] for n in seen], tune, rng),
        _crops([photos[n] for n in kept], held_out, rng),
    )


def _backgrounds() -> dict[str, Image.Image]:
    return {path.stem: _open(path) for path in sorted(assets.fetch("mate-backgrounds").rglob("*.jpg"))}


def _stamps() -> dict[str, Image.Image]:
    """Cut-out photos on white paper, made square."""
    root = assets.fetch("tuxpaint-stamps") / "usr/share/tuxpaint/stamps"
    stamps = {}
    for path in sorted(p for kind in _STAMPS for p in (root / kind).rglob("*.png") if "cartoon" not in p.parts):
        with Image.open(path) as image:
            cutout = image.convert("RGBA")
        if min(cutout.size) >= _SMALLEST_STAMP:
            side = max(cutout.size)
            paper = Image.new("RGBA", (side, side), "white")
            paper.alpha_composite(cutout, ((side - cutout.width) // 2, (side - cutout.height) // 2))
            stamps[path.relative_to(root).with_suffix("").as_posix()] = paper.convert("RGB")
    return stamps


def _crops(photos: list[Image.Image], count: int, rng: np.random.Generator) -> Crops:
    out = np.empty((count, SIDE, SIDE, 3), np.uint8)
    for i in range(count):
        out[i] = _crop(photos[i % len(photos)], rng)
    # Photos take turns above: without this, any prefix of the set would still be balanced, but in a fixed cycle.
    return out[rng.permutation(count)]


def _crop(photo: Image.Image, rng: np.random.Generator) -> Crops:
    side = int(min(photo.size) * np.sqrt(rng.uniform(*_AREA)))
    left = int(rng.integers(photo.width - side + 1))
    top = int(rng.integers(photo.height - side + 1))
    box = (left, top, left + side, top + side)
    pixels = np.asarray(photo.resize((SIDE, SIDE), Image.Resampling.BICUBIC, box=box))
    return pixels[:, ::-1] if rng.random() < 0.5 else pixels


def _open(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return image.convert("RGB")
