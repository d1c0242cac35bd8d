"""What the example networks learn: the classes of pictures, and whether sentences are negative or positive."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from examples import fashion_mnist
from examples.pytorch import sentences

_UNKNOWN_SHARE = 0.1
_BATCH = 250


class Pictures:
    """Training pictures of clothes; half of them are mirrored."""

    def __init__(self) -> None:
        self._pictures = fashion_mnist.read("train")
        self.samples = len(self._pictures.labels)

    def batch(self, chosen: NDArray[np.int64], side: int, rng: np.random.Generator) -> tuple[Any, Any]:
        """Pictures ``[n, side, side, 1]`` and their classes."""
        pixels = self._pictures.pixels[chosen]
        mirrored = rng.random(len(chosen)) < 0.5
        pixels[mirrored] = pixels[mirrored, :, ::-1]
        return fashion_mnist.channels_last(pixels, side), self._pictures.labels[chosen]


class Sentences:
    """Training sentences; a tenth of the words is made unknown, so that single words count less."""

    def __init__(self) -> None:
        self._tokens = sentences.read().training
        self.samples = len(self._tokens.labels)

    def batch(self, chosen: NDArray[np.int64], side: int, rng: np.random.Generator) -> tuple[Any, Any]:  # noqa: ARG002
        """Token ids ``int32 [n, 32]`` and classes."""
        ids = self._tokens.ids[chosen].astype(np.int32)
        hidden = (rng.random(ids.shape) < _UNKNOWN_SHARE) & (ids != sentences.PADDING)
        return np.where(hidden, sentences.UNKNOWN, ids), self._tokens.labels[chosen]


def picture_accuracy(model: Any, side: int) -> float:
    """Share of the 10,000 test pictures named rightly."""
    test = fashion_mnist.read("t10k")
    right = 0
    for start in range(0, len(test.labels), _BATCH):
        inputs = fashion_mnist.channels_last(test.pixels[start : start + _BATCH], side)
        scores = model.predict_on_batch(inputs)
        right += int((scores.argmax(1) == test.labels[start : start + _BATCH]).sum())
    return right / len(test.labels)


def sentence_accuracy(model: Any, side: int) -> float:  # noqa: ARG001
    """Share of the test sentences classified rightly."""
    test = sentences.read().test
    scores = model.predict_on_batch(test.ids.astype(np.int32))
    return float((scores.argmax(1) == test.labels).mean())
