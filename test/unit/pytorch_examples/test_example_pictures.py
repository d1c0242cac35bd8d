"""Fashion-MNIST, the scenes made of it, and the sentences."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from examples.assets import AssetError
from examples.pytorch import fashion_mnist, scenes, sentences


@pytest.fixture(scope="module")
def pictures() -> fashion_mnist.Pictures:
    """Bright bars: any picture would do."""
    pixels = np.zeros((20, 28, 28), np.uint8)
    pixels[:, 4:24, 8:20] = 200
    return fashion_mnist.Pictures(pixels, np.arange(20) % 10)


@pytest.fixture(scope="module")
def made(pictures: fashion_mnist.Pictures) -> scenes.Scenes:
    return scenes.make_scenes(pictures, 40, seed=5)


@pytest.fixture(scope="module")
def corpus() -> sentences.Corpus:
    return sentences.read()


def test_pictures_are_resized_and_normalized() -> None:
    pixels = np.full((2, 28, 28), 73, np.uint8)
    inputs = fashion_mnist.network_input(pixels, 40)
    assert inputs.shape == (2, 1, 40, 40)
    assert np.allclose(inputs, 0, atol=0.01)


def test_all_test_pictures_are_read() -> None:
    test = fashion_mnist.read("t10k")
    assert np.bincount(test.labels).tolist() == [1000] * 10


def test_scenes_are_the_same_for_the_same_seed(pictures: fashion_mnist.Pictures, made: scenes.Scenes) -> None:
    again = scenes.make_scenes(pictures, 40, seed=5)
    assert np.array_equal(made.images, again.images)


def test_scenes_differ_between_seeds(pictures: fashion_mnist.Pictures, made: scenes.Scenes) -> None:
    assert not np.array_equal(made.images, scenes.make_scenes(pictures, 40, seed=6).images)


def test_every_scene_shows_something(made: scenes.Scenes) -> None:
    assert min(map(len, made.boxes)) >= 1


def test_a_box_is_the_tightest_around_its_pixels(made: scenes.Scenes) -> None:
    for mask, boxes in zip(made.masks, made.boxes, strict=True):
        for x1, y1, x2, y2, label in boxes.astype(int):
            inside = mask[y1:y2, x1:x2] == label
            assert all(edge.any() for edge in (inside[0], inside[-1], inside[:, 0], inside[:, -1]))


def test_boxes_hold_all_that_is_not_background(made: scenes.Scenes) -> None:
    for mask, boxes in zip(made.masks.copy(), made.boxes, strict=True):
        for x1, y1, x2, y2, _ in boxes.astype(int):
            mask[y1:y2, x1:x2] = scenes.BACKGROUND
        assert (mask == scenes.BACKGROUND).all()


def test_labelled_scenes_come_back_with_their_boxes(tmp_path: Path, made: scenes.Scenes) -> None:
    path = tmp_path / "test.npz"
    counts = [len(b) for b in made.boxes]
    np.savez(path, image=scenes.network_input(made.images), boxes=np.concatenate(made.boxes), counts=counts)
    batches = list(scenes.labelled(batch_size=16, folder=tmp_path))
    assert [len(images) for images, _ in batches] == [16, 16, 8]
    found = [box for _, boxes in batches for box in boxes]
    assert all(np.array_equal(a, b) for a, b in zip(found, made.boxes, strict=True))


def test_sentences_are_padded_word_numbers(corpus: sentences.Corpus) -> None:
    ids = corpus.training.ids
    assert ids.shape[1] == sentences.LENGTH
    assert set(np.unique(ids)) <= set(range(sentences.VOCABULARY))


def test_both_classes_of_sentences_are_common(corpus: sentences.Corpus) -> None:
    assert 0.4 < corpus.test.labels.mean() < 0.6


def test_frequent_words_have_small_numbers(corpus: sentences.Corpus) -> None:
    assert {"the", "a", "and"} <= set(corpus.words[:10])


def test_without_the_package_the_error_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOQ_ASSETS", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(AssetError, match="dataset-fashion-mnist is a Debian package; this system has no apt-get"):
        fashion_mnist.read("train")
