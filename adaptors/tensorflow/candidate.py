"""A graph in a TensorFlow session, ready to run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from autoq.adaptors.tensorflow.frozen import Frozen
from autoq.adaptors.tensorflow.fusion import Fusion
from autoq.adaptors.tensorflow.graph import GraphDef
from autoq.adaptors.tensorflow.native import SignatureFunction
from autoq.adaptors.tensorflow.realized import ExecutedNode, executed, realized_plan
from autoq.adaptors.tensorflow.recipes import BF16
from autoq.adaptors.tensorflow.runtime import tf
from autoq.adaptors.tensorflow.session import FAILURES, GraphSession, SessionSettings, reason
from autoq.core.adaptor import RunOptions
from autoq.core.batch import Array, Inputs, Outputs, TensorSpec
from autoq.core.errors import DataError, TrialError
from autoq.core.feeding import feed
from autoq.core.plan import Plan

# Sizes of axes that may have any, where no batch was seen: pictures and sequences of usual lengths.
_SIZES = (32, 224, 1)


@dataclass(frozen=True, eq=False)
class Source:
    """The graph behind a session.

    Attributes:
        proto: The graph.
        frozen: The model it stands for: its inputs, outputs and their tensors.
        size_bytes: Bytes of the graph with its weights.
    """

    proto: GraphDef
    frozen: Frozen
    size_bytes: int


class TensorFlowCandidate:
    """A session and what is known of it.

    Args:
        source: The graph.
        plan: What was asked for.
        fusion: The quantizable ops, to read back what is realized; None when `plan` is known to be realized.
        options: Threads.

    Raises:
        TrialError: TensorFlow cannot load it.
    """

    def __init__(self, source: Source, plan: Plan, fusion: Fusion | None, options: RunOptions) -> None:
        self.source = source
        self.plan = plan
        self.fusion = fusion
        self.options = options
        frozen = source.frozen
        try:
            self._session: GraphSession | None = GraphSession(
                source.proto, frozen.input_tensors, frozen.output_tensors, self.settings
            )
        except FAILURES as error:
            raise TrialError(f"TensorFlow cannot load the graph this plan makes: {reason(error)}") from error
        self._shapes: list[tuple[int, ...]] | None = None

    @property
    def settings(self) -> SessionSettings:
        """How its session is made."""
        return SessionSettings(self.options.threads, bf16=BF16 in self.plan.recipes)

    @cached_property
    def realized(self) -> Plan:
        """What really runs: ops without an 8-bit kernel are left out."""
        if self.fusion is None or not self.plan.precisions:
            return self.plan
        return realized_plan(self.plan, self.fusion, self.executed)

    @cached_property
    def executed(self) -> tuple[ExecutedNode, ...]:
        """The nodes that run, after all of TensorFlow's optimizations; read from a run on zeros.

        Raises:
            TrialError: The runtime fails on zeros of every shape that was tried.
        """
        session, expected = self._open(), self.source.frozen.inputs
        tried = [self._shapes] if self._shapes else [[_shape(spec, size) for spec in expected] for size in _SIZES]
        failure: Exception | None = None
        for shapes in tried:
            zeros = [np.zeros(shape, spec.dtype) for spec, shape in zip(expected, shapes, strict=True)]
            try:
                return executed(session.recorded(zeros))
            except FAILURES as error:
                failure = error
        assert failure is not None
        raise TrialError(f"TensorFlow failed on zeros: {reason(failure)}") from failure

    @cached_property
    def native(self) -> SignatureFunction:
        """A function with the names of the model's signature, of arrays and of TensorFlow's tensors."""
        return SignatureFunction(self.source.proto, self.source.frozen)

    @property
    def size_bytes(self) -> int:
        """Bytes of the graph with its weights."""
        return self.source.size_bytes

    def predict(self, inputs: Inputs) -> Outputs:
        """Run one batch.

        Raises:
            DataError: Wrong names, shapes or dtypes.
            TrialError: The runtime failed.
        """
        session, fed = self._open(), checked(inputs, self.source.frozen.inputs)
        try:
            results = session.run(fed)
        except FAILURES as error:
            raise TrialError(f"TensorFlow failed: {reason(error)}") from error
        self._shapes = [array.shape for array in fed]
        names = (spec.name for spec in self.source.frozen.outputs)
        return dict(zip(names, results, strict=True))

    def close(self) -> None:
        """Release the session."""
        session, self._session = self._session, None
        if session is not None:
            session.close()
        self.__dict__.pop("native", None)

    def __del__(self) -> None:
        session = getattr(self, "_session", None)
        if session is not None:
            session.close()

    def _open(self) -> GraphSession:
        if self._session is None:
            raise TrialError("this candidate was closed")
        return self._session


def checked(inputs: Inputs, expected: Sequence[TensorSpec]) -> list[Array]:
    """Arrays in the order of the model's inputs.

    Raises:
        DataError: Wrong names, shapes or dtypes. Kernels check ranks by ending the process.
    """
    fed = feed(inputs, expected)
    for spec in expected:
        array = fed[spec.name]
        if not spec.accepts(array):
            raise DataError(
                f"input '{spec.name}' takes {spec.dtype} {spec.shape}, not {array.dtype} {array.shape}",
                where=spec.name,
            )
    return [np.require(fed[spec.name], requirements="C") for spec in expected]


def whole(proto: GraphDef) -> GraphDef:
    """A copy without attributes that hold nothing: asking a node for one it lacks leaves such a one behind."""
    copy = tf.compat.v1.GraphDef()
    copy.CopyFrom(proto)
    for node in copy.node:
        for key in [key for key, value in node.attr.items() if value.WhichOneof("value") is None]:
            del node.attr[key]
    return copy


def _shape(spec: TensorSpec, unknown: int) -> tuple[int, ...]:
    """A shape the input takes: one sample, and `unknown` along other axes of any size."""
    sizes = (1, *(unknown for _ in (spec.shape or ())[1:]))
    return tuple(own if isinstance(own, int) else size for own, size in zip(spec.shape or (), sizes, strict=False))
