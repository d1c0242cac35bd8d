"""A model in an ONNX Runtime session, ready to run."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort

from autoq.adaptors.onnxrt.fusion import Fusion
from autoq.adaptors.onnxrt.realized import realized_plan
from autoq.adaptors.onnxrt.session import SessionSettings, make_session, reason, specs
from autoq.core.adaptor import RunOptions
from autoq.core.batch import Inputs, Outputs
from autoq.core.errors import DataError, TrialError
from autoq.core.feeding import feed
from autoq.core.plan import Plan


@dataclass(frozen=True, eq=False)
class Source:
    """The ONNX model behind a session.

    Attributes:
        model: Its bytes, or its file.
        folder: Where external data of a model given as bytes lie.
        size_bytes: Bytes of the model with its external data.
    """

    model: bytes | Path
    folder: Path | None
    size_bytes: int


class OnnxCandidate:
    """A session and what is known of it.

    Args:
        source: The model.
        plan: What was asked for.
        fusion: The quantizable ops, to read back what is realized; None when `plan` is known to be realized.
        options: Threads.
    """

    def __init__(self, source: Source, plan: Plan, fusion: Fusion | None, options: RunOptions) -> None:
        self.source = source
        self.plan = plan
        self.fusion = fusion
        self._options = options
        self._scratch: Path | None = None
        settings = SessionSettings(threads=options.threads, folder=source.folder)
        if fusion is not None and not plan.is_baseline:
            self._scratch = Path(tempfile.mkdtemp(prefix="autoq-onnx-"))
            settings = SessionSettings(
                threads=options.threads,
                folder=source.folder,
                optimized=self._scratch / "optimized.onnx",
                weights="optimized.data",
            )
        try:
            self._session: ort.InferenceSession | None = make_session(source.model, settings)
            self._inputs = specs(self._session.get_inputs())
            self._outputs = [o.name for o in self._session.get_outputs()]
        except Exception as error:
            self._drop_scratch()
            raise TrialError(f"ONNX Runtime cannot load the model this plan makes: {reason(error)}") from error

    @cached_property
    def realized(self) -> Plan:
        """What really runs: ops without a quantized kernel are left out."""
        if self.fusion is None or self._scratch is None:
            return self.plan
        try:
            optimized = onnx.load(self._scratch / "optimized.onnx", load_external_data=False)
        finally:
            self._drop_scratch()
        return realized_plan(self.plan, self.fusion, optimized)

    @property
    def native(self) -> ort.InferenceSession:
        """The session."""
        if self._session is None:
            raise TrialError("this candidate was closed")
        return self._session

    @property
    def options(self) -> RunOptions:
        """How it runs."""
        return self._options

    @property
    def size_bytes(self) -> int:
        """Bytes its saved form takes."""
        return self.source.size_bytes

    def predict(self, inputs: Inputs) -> Outputs:
        """Run one batch.

        Raises:
            DataError: Wrong names, shapes or dtypes.
            TrialError: The runtime failed.
        """
        session, fed = self.native, feed(inputs, self._inputs)
        try:
            results = session.run(self._outputs, fed)
        except Exception as error:
            wrong = next((s for s in self._inputs if not s.accepts(np.asarray(fed[s.name]))), None)
            if wrong is not None:
                found = np.asarray(fed[wrong.name])
                raise DataError(
                    f"input '{wrong.name}' takes {wrong.dtype} {wrong.shape}, not {found.dtype} {found.shape}",
                    where=wrong.name,
                ) from error
            raise TrialError(f"ONNX Runtime failed: {reason(error)}") from error
        return dict(zip(self._outputs, results, strict=True))

    def close(self) -> None:
        """Release the session and its files."""
        self._session = None
        self._drop_scratch()

    def __del__(self) -> None:
        self._drop_scratch()

    def _drop_scratch(self) -> None:
        scratch, self._scratch = getattr(self, "_scratch", None), None
        if scratch is not None:
            shutil.rmtree(scratch, ignore_errors=True)
