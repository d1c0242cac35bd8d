"""A model in LiteRT's interpreter, ready to run."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from autoq.adaptors.tensorflow_lite.model import Interface, LiteModel
from autoq.adaptors.tensorflow_lite.realized import realized_plan
from autoq.adaptors.tensorflow_lite.runtime import make_interpreter, reason
from autoq.adaptors.tensorflow_lite.session import Session
from autoq.core.adaptor import RunOptions
from autoq.core.batch import Inputs, Outputs
from autoq.core.errors import TrialError
from autoq.core.plan import Plan


class LiteCandidate:
    """An interpreter and what is known of it.

    Args:
        content: The ``.tflite`` file.
        plan: What was asked for.
        interface: How it is called.
        model: The float model it was built from, to read back what is realized; None when `plan` is known to be.
        options: Threads.

    Raises:
        TrialError: LiteRT cannot load it.
    """

    def __init__(
        self, content: bytes, plan: Plan, interface: Interface, model: LiteModel | None, options: RunOptions
    ) -> None:
        self.content = content
        self.plan = plan
        self.interface = interface
        self.model = model
        self.options = options
        self._native: Any = None
        try:
            self._session: Session | None = Session(content, interface, options.threads)
        except (ValueError, RuntimeError) as error:
            raise TrialError(f"LiteRT cannot load the model this plan makes: {reason(error)}") from error

    @cached_property
    def realized(self) -> Plan:
        """What really runs: ops whose tensors are float in the file are left out."""
        if self.model is None or self.plan.is_baseline:
            return self.plan
        return realized_plan(self.model, self.plan, self.content)

    @property
    def native(self) -> Any:
        """An ``ai_edge_litert.interpreter.Interpreter`` with its tensors allocated.

        Not the one that predicts: its user may change its shapes, or hold its memory.
        """
        self._open()
        if self._native is None:
            self._native = make_interpreter(self.content, self.options.threads)
        return self._native

    @property
    def size_bytes(self) -> int:
        """Bytes of the file."""
        return len(self.content)

    def predict(self, inputs: Inputs) -> Outputs:
        """Run one batch.

        Raises:
            DataError: Wrong names, shapes or dtypes.
            TrialError: The runtime failed.
        """
        return self._open().run(inputs)

    def close(self) -> None:
        """Release the interpreter."""
        self._session = self._native = None

    def _open(self) -> Session:
        if self._session is None:
            raise TrialError("this candidate was closed")
        return self._session
