"""A compiled form that computes something else is told, not deployed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from pt2e import ADAPTOR
from torch import Tensor, nn

from autoq.adaptors.pytorch_pt2e.faithful import require_faithful
from autoq.adaptors.pytorch_pt2e.model import Pt2eModel
from autoq.core.adaptor import ModelSource
from autoq.core.batch import Inputs, Outputs
from autoq.core.errors import TrialError
from autoq.core.plan import FP32_PLAN, Plan

MODEL = ADAPTOR.load(ModelSource(nn.Linear(3, 2).eval(), example=lambda: np.ones((2, 3), np.float32)))


@dataclass
class Fixed:
    """Gives one output, whatever comes in."""

    value: np.ndarray
    realized: Plan = FP32_PLAN
    native: object = None
    size_bytes: int = 1

    def predict(self, inputs: Inputs) -> Outputs:
        return {"output": self.value}

    def close(self) -> None:
        pass


RIGHT = np.linspace(-1, 1, 8, dtype=np.float32)


def test_rounding_is_no_fault() -> None:
    require_faithful(Fixed(RIGHT), Fixed(RIGHT + np.float32(0.02)), MODEL)


@pytest.mark.parametrize("wrong", [np.zeros_like(RIGHT), -RIGHT, RIGHT[::-1], np.full_like(RIGHT, np.nan)])
def test_other_outputs_are_a_fault(wrong: np.ndarray) -> None:
    with pytest.raises(TrialError, match="compiled, this plan gives other outputs"):
        require_faithful(Fixed(RIGHT), Fixed(wrong), MODEL)


def test_class_ids_of_a_near_tie_are_no_fault() -> None:
    require_faithful(Fixed(np.array([1, 9])), Fixed(np.array([7, 9])), MODEL)


def test_an_output_of_zeros_has_no_signal_to_lose() -> None:
    require_faithful(Fixed(np.zeros(8, np.float32)), Fixed(np.full(8, 1e-9, np.float32)), MODEL)


class _Sorting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scores = nn.Linear(3, 6)

    def forward(self, x: Tensor) -> Tensor:
        return torch.topk(self.scores(x), 4).values


class _Drawing(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Linear(3, 6)

    def forward(self, x: Tensor) -> Tensor:
        scale = self.scale(x)
        return scale * torch.randn_like(scale)


def _loaded(module: nn.Module) -> Pt2eModel:
    return ADAPTOR.load(ModelSource(module.eval(), example=lambda: np.ones((2, 3), np.float32)))


def test_places_that_near_ties_change_are_no_fault() -> None:
    model = _loaded(_Sorting())
    require_faithful(Fixed(RIGHT), Fixed(RIGHT[::-1]), model)
    with pytest.raises(TrialError, match="compiled, this plan gives other outputs"):
        require_faithful(Fixed(RIGHT), Fixed(RIGHT + 3), model)


def test_what_a_model_draws_at_random_is_no_fault() -> None:
    require_faithful(Fixed(RIGHT), Fixed(-RIGHT), _loaded(_Drawing()))
