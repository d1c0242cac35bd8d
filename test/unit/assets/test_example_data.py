from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from examples.onnxrt import photos, rendered_text


def _solid_photos(count: int) -> dict[str, Image.Image]:
    """Photos that a crop can be traced back to: each of one colour."""
    return {str(i): Image.new("RGB", (300, 260), (i * 10, 0, 0)) for i in range(count)}


def _colours(crops: photos.Crops) -> set[int]:
    return set(np.unique(crops[..., 0]).tolist())


@pytest.fixture(scope="module")
def crop_sets() -> photos.CropSets:
    return photos.make_crops(_solid_photos(20), calibration=12, tune=24, held_out=16)


def test_held_out_crops_come_from_other_photos(crop_sets: photos.CropSets) -> None:
    assert not _colours(crop_sets.held_out) & (_colours(crop_sets.tune) | _colours(crop_sets.calibration))


def test_every_tune_photo_gives_crops(crop_sets: photos.CropSets) -> None:
    assert len(_colours(crop_sets.tune)) == 12


def test_crop_sets_have_the_sizes_asked_for(crop_sets: photos.CropSets) -> None:
    sizes = [len(c) for c in (crop_sets.calibration, crop_sets.tune, crop_sets.held_out)]
    assert sizes == [12, 24, 16]


def test_crops_are_the_same_every_time(crop_sets: photos.CropSets) -> None:
    again = photos.make_crops(_solid_photos(20), calibration=12, tune=24, held_out=16)
    assert np.array_equal(again.tune, crop_sets.tune)


@pytest.mark.parametrize("text", ["a", "WWWWWWWWWWWWWWWWWWWWWWWW"])
def test_a_line_fits_its_width(text: str) -> None:
    line = rendered_text.render_line(text, 48, 192, np.random.default_rng(0))
    assert line.shape[0] == 48
    assert line.shape[1] <= 192


def test_padding_is_zero_once_normalized() -> None:
    line = rendered_text.render_line("a", 48, 192, np.random.default_rng(0))
    padded = rendered_text.normalize(rendered_text.pad_line(line, 192)[None])
    assert np.abs(padded[..., -1]).max() < 0.01


def test_normalized_pixels_span_minus_one_to_one() -> None:
    pixels = np.array([0, 255], np.uint8).reshape(1, 1, 2, 1)
    assert rendered_text.normalize(pixels).ravel().tolist() == [-1.0, 1.0]


def test_rendered_texts_hold_no_space() -> None:
    rng = np.random.default_rng(0)
    assert not any(" " in rendered_text.random_text(rng) for _ in range(200))
