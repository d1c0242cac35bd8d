"""A compiled form that computes something else is told, not deployed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from pt2e import ADAPTOR
from torch import nn

from autoq.adaptors.pytorch_pt2e.faithful import require_faithful
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
