"""Pictures and sentences as files that a job reads."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from examples import fashion_mnist
from examples.prepared import prepare
from examples.pytorch import sentences

CALIBRATION = 512
"""Samples for calibration: the first ones of the training data, which are in random order."""


def pictures(side: int) -> Path:
    """Folder with ``calibration.npz`` (training pictures) and ``test.npz`` (10,000 test pictures, labels).

    Pictures are ``float32 [n, side, side, 1]``.
    """
    recipe = (Path(__file__), Path(fashion_mnist.__file__))
    return prepare(f"tensorflow/fashion-mnist-{side}", recipe, partial(_pictures, side))


def token_ids() -> Path:
    """Folder with ``calibration.npz`` (training sentences) and ``test.npz`` (3,000 test sentences, labels).

    Sentences are token ids ``int32 [n, 32]``.
    """
    return prepare("tensorflow/sentences", (Path(__file__), Path(sentences.__file__)), _token_ids)


def _pictures(side: int, folder: Path) -> None:
    training, test = fashion_mnist.read("train"), fashion_mnist.read("t10k")
    calibration = fashion_mnist.channels_last(training.pixels[:CALIBRATION], side)
    np.savez(folder / "calibration.npz", image=calibration)
    np.savez(folder / "test.npz", image=fashion_mnist.channels_last(test.pixels, side), label=test.labels)


def _token_ids(folder: Path) -> None:
    corpus = sentences.read()
    np.savez(folder / "calibration.npz", input_ids=corpus.training.ids[:CALIBRATION].astype(np.int32))
    np.savez(folder / "test.npz", input_ids=corpus.test.ids.astype(np.int32), label=corpus.test.labels)
