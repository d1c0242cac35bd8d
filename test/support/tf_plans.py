"""Small TensorFlow models with their calibrations and plans, each made once for all tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from autoq.adaptors.tensorflow.adaptor import TensorFlowAdaptor
from autoq.adaptors.tensorflow.candidate import TensorFlowCandidate
from autoq.adaptors.tensorflow.model import TensorFlowModel
from autoq.core.adaptor import ModelSource, RunOptions
from autoq.core.batch import Batch
from autoq.core.capability import CapabilityTable
from autoq.core.plan import FP32_PLAN, Plan
from autoq.core.space import Space
from autoq.core.statistics import Calibration

ADAPTOR = TensorFlowAdaptor()
THREADS = RunOptions(threads=1)


@dataclass(frozen=True, eq=False)
class Prepared:
    """A Keras model, what the adaptor knows of it, and data for it."""

    keras: Any
    model: TensorFlowModel
    table: CapabilityTable
    inputs: np.ndarray[Any, Any]
    calibration: Calibration

    @property
    def full(self) -> Plan:
        """Every op in its best precision."""
        return Space.of(self.table).full_plan()

    def candidate(self, plan: Plan = FP32_PLAN) -> TensorFlowCandidate:
        """What a plan makes."""
        found = ADAPTOR.apply(self.model, plan, self.calibration, THREADS)
        assert isinstance(found, TensorFlowCandidate)
        return found


@cache
def prepared(make: Callable[[], Any]) -> Prepared:
    """A model of `small_tf`, calibrated on six samples."""
    keras = make()
    model = ADAPTOR.load(ModelSource(keras))
    inputs = np.random.default_rng(0).standard_normal((6, *keras.inputs[0].shape[1:])).astype(np.float32)
    table = ADAPTOR.capabilities(model)
    calibration = ADAPTOR.calibrate(model, [Batch(inputs, None, len(inputs))], ADAPTOR.needs(model, table))
    return Prepared(keras, model, table, inputs, calibration)
