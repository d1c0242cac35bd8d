"""Classifying Fashion-MNIST pictures."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from examples.pytorch import fashion_mnist
from examples.pytorch.training.loop import Phase


class PictureProblem:
    """Cross entropy on pictures, half of them mirrored."""

    def __init__(self, pictures: fashion_mnist.Pictures) -> None:
        self._pictures = pictures
        self._labels = torch.from_numpy(pictures.labels)
        self._inputs = torch.empty(0)
        self.samples = len(pictures.labels)

    def enter(self, phase: Phase) -> None:
        """Resize all pictures to the phase's side."""
        self._inputs = fashion_mnist.network_input(self._pictures.pixels, phase.side)

    def loss(self, model: nn.Module, chosen: Tensor) -> Tensor:
        """Smoothed a little: labels of this set are not always right."""
        inputs = self._inputs[chosen]
        mirrored = torch.rand(len(chosen)) < 0.5
        inputs[mirrored] = inputs[mirrored].flip(-1)
        scores = model(inputs.to(memory_format=torch.channels_last))
        return nn.functional.cross_entropy(scores, self._labels[chosen], label_smoothing=0.05)


def problem() -> PictureProblem:
    """The 60,000 training pictures."""
    return PictureProblem(fashion_mnist.read("train"))


def accuracy(model: nn.Module, side: int) -> float:
    """Share of the 10,000 test pictures named rightly."""
    test = fashion_mnist.read("t10k")
    right = 0
    with torch.no_grad():
        for start in range(0, len(test.labels), 500):
            inputs = fashion_mnist.network_input(test.pixels[start : start + 500], side)
            right += int((model(inputs).argmax(1).numpy() == test.labels[start : start + 500]).sum())
    return right / len(test.labels)
