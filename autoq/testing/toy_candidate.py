"""Toy models under a plan, as they run at once, as a reference of what is compiled, and compiled."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping

import numpy as np

from autoq.core.batch import Array, Inputs, Outputs
from autoq.core.errors import DataError, TrialError
from autoq.core.plan import Plan
from autoq.core.precision import FP32
from autoq.testing.toy_model import MARGIN, ToyModel

_REFERENCE_SLOWNESS = 3.0

Clock = Callable[[float], None]
"""Lets simulated seconds pass."""


class ToyCandidate:
    """A toy model under a plan, in the form that is deployed.

    Args:
        advance: The simulated clock.
        model: The model.
        plan: The plan.
    """

    def __init__(self, advance: Clock, model: ToyModel, plan: Plan) -> None:
        refused = {op.id: FP32 for op in model.ops if op.fault == "refuse"}
        self.model = model
        self._advance = advance
        self._realized = plan.with_precisions(refused)
        self._faults = {op.fault for op in model.ops if not self._realized[op.id].is_float and op.fault}
        self._noise, self._seconds = model.noise(self._realized), model.seconds(self._realized)
        if "build" in self._faults:
            raise TrialError("a toy op cannot be built in int8")

    @property
    def realized(self) -> Plan:
        """What runs: everything asked for but the ops that refuse."""
        return self._realized

    @property
    def native(self) -> object:
        """The candidate itself."""
        return self

    @property
    def size_bytes(self) -> int:
        """1000 bytes a float op, 250 an int8 op."""
        return sum(1000 if self._realized[op.id].is_float else 250 for op in self.model.ops)

    def predict(self, inputs: Inputs) -> Outputs:
        """Logits; advances the simulated clock by the plan's time for each sample."""
        array = only_input(inputs)
        self._fail()
        self._advance(self._seconds * len(array))
        scores = np.asarray(array, np.float32).reshape(-1, 1) - np.float32(self._noise)
        logits = np.concatenate([scores, np.zeros_like(scores)], axis=1)
        return {"logits": logits * np.float32(np.nan) if "nan" in self._faults else logits}

    def close(self) -> None:
        """Nothing to release."""

    def _fail(self) -> None:
        if "exit" in self._faults:
            os._exit(42)
        if "hang" in self._faults:
            time.sleep(3600)
        if "memory" in self._faults:
            hog = np.ones(2**27)  # one gigabyte, touched
            time.sleep(5)
            del hog


class ToyReference(ToyCandidate):
    """What stands for a compiled toy model while a search scores it: slower, and without the compiler's drift."""

    def __init__(self, advance: Clock, model: ToyModel, plan: Plan) -> None:
        super().__init__(advance, model, plan)
        self._noise = model.noise(self._realized, deployed=False)
        self._seconds *= _REFERENCE_SLOWNESS
        self._compiled: ToyCandidate | None = None

    def compiled(self) -> ToyCandidate:
        """The form that is deployed.

        Raises:
            TrialError: An op has the fault ``compile``.
        """
        if self._compiled is None:
            time.sleep(self.model.compile_sleep)
            if "compile" in self._faults:
                raise TrialError("a toy op does not compile in int8")
            self._compiled = ToyCandidate(self._advance, self.model, self._realized)
        return self._compiled

    @property
    def compile_seconds(self) -> float | None:
        """What the model says it takes; None before it was compiled."""
        return self.model.compile_seconds if self._compiled is not None else None


def only_input(inputs: Inputs) -> Array:
    """The one input of a toy model.

    Raises:
        DataError: Another name, number, dtype or shape.
    """
    if isinstance(inputs, Mapping):
        if list(inputs) != [MARGIN.name]:
            raise DataError(f"a toy model takes the input '{MARGIN.name}', not {', '.join(inputs) or 'none'}")
        array = inputs[MARGIN.name]
    elif isinstance(inputs, np.ndarray):
        array = inputs
    elif len(inputs) == 1:
        array = inputs[0]
    else:
        raise DataError(f"a toy model takes one input, not {len(inputs)}")
    if not MARGIN.accepts(array):
        raise DataError(f"a toy model takes float32 [n, 1], not {array.dtype} {list(array.shape)}", where=MARGIN.name)
    return array
