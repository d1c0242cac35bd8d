"""Naming every pixel of a scene."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from examples.pytorch import fashion_mnist, scenes
from examples.pytorch.training.loop import Phase

_SCENES = 2500
_BACKGROUND_WEIGHT = 0.2
"""Most pixels are background: it counts less, so that the pictures do."""


class SceneMasks:
    """Cross entropy per pixel."""

    def __init__(self, training: scenes.Scenes) -> None:
        self._images = torch.from_numpy(scenes.network_input(training.images))
        self._masks = torch.from_numpy(training.masks).long()
        self._weights = torch.ones(scenes.BACKGROUND + 1)
        self._weights[scenes.BACKGROUND] = _BACKGROUND_WEIGHT
        self.samples = len(self._images)

    def enter(self, phase: Phase) -> None:
        """All phases are alike."""

    def loss(self, model: nn.Module, chosen: Tensor) -> Tensor:
        """Mean over the pixels, weighted."""
        scores = model(self._images[chosen].to(memory_format=torch.channels_last))
        return nn.functional.cross_entropy(scores, self._masks[chosen], self._weights)


def problem() -> SceneMasks:
    """Scenes made of training pictures."""
    return SceneMasks(scenes.make_scenes(fashion_mnist.read("train"), _SCENES, scenes.TRAINING_SEED))


def accuracy(model: nn.Module) -> float:
    """Share of the pixels named rightly, over the test scenes."""
    shares = []
    with torch.no_grad(), np.load(scenes.main() / "test.npz") as stored:
        images, masks = stored["image"], stored["mask"]
        for start in range(0, len(images), 50):
            window = slice(start, start + 50)
            found = model(torch.from_numpy(images[window])).argmax(1).numpy()
            shares.append((found == masks[window]).mean())
    return float(sum(shares) / len(shares))
