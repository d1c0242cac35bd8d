"""Classifying sentences as negative or positive."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from examples.pytorch import sentences
from examples.pytorch.training.loop import Phase

_DROPPED = 0.1


class SentenceProblem:
    """Cross entropy on sentences; a tenth of the words is made unknown, so that single words count less."""

    def __init__(self, tokens: sentences.Tokens) -> None:
        self._ids = torch.from_numpy(tokens.ids)
        self._labels = torch.from_numpy(tokens.labels)
        self.samples = len(self._labels)

    def enter(self, phase: Phase) -> None:
        """All phases are alike."""

    def loss(self, model: nn.Module, chosen: Tensor) -> Tensor:
        """Mean over the sentences."""
        ids = self._ids[chosen]
        unknown = (torch.rand(ids.shape) < _DROPPED) & (ids != sentences.PADDING)
        return nn.functional.cross_entropy(model(ids.masked_fill(unknown, sentences.UNKNOWN)), self._labels[chosen])


def problem() -> SentenceProblem:
    """The training sentences."""
    return SentenceProblem(sentences.read().training)


def accuracy(model: nn.Module) -> float:
    """Share of the test sentences classified rightly."""
    test = sentences.read().test
    with torch.no_grad():
        found = model(torch.from_numpy(test.ids)).argmax(1).numpy()
    return float((found == test.labels).mean())
