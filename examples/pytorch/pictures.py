"""Fashion-MNIST as files that a job reads."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from examples.prepared import prepare
from examples.pytorch import fashion_mnist

CALIBRATION = 512
"""Pictures for calibration: the first ones of the training set, which is in random order."""


def build(side: int, folder: Path) -> None:
    """Write ``calibration.npz`` (training pictures) and ``test.npz`` (all test pictures and their labels)."""
    training, test = fashion_mnist.read("train"), fashion_mnist.read("t10k")
    np.savez(folder / "calibration.npz", image=fashion_mnist.network_input(training.pixels[:CALIBRATION], side).numpy())
    np.savez(folder / "test.npz", image=fashion_mnist.network_input(test.pixels, side).numpy(), label=test.labels)


def main(side: int) -> Path:
    """Prepare pictures of that side once; returns the folder."""
    recipe = (Path(__file__), Path(fashion_mnist.__file__))
    return prepare(f"fashion-mnist-{side}", recipe, partial(build, side))
