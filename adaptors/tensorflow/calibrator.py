"""Values and statistics of intermediate tensors of the folded float graph."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from autoq.adaptors.tensorflow.candidate import checked
from autoq.adaptors.tensorflow.graph import node_name
from autoq.adaptors.tensorflow.model import TensorFlowModel
from autoq.adaptors.tensorflow.session import FAILURES, GraphSession, SessionSettings, reason
from autoq.calibration.streaming import collect_streamed
from autoq.core.batch import Array, Batch, Inputs
from autoq.core.errors import DataError, ModelError
from autoq.core.statistics import Calibration, Needs
from autoq.core.suggest import did_you_mean

BUDGET = 128 << 20
"""Bytes of observed tensors in one run; two runs' tensors are alive at once."""


def collect(
    model: TensorFlowModel, batches: Iterable[Batch], needs: Needs, *, threads: int | None = None, budget: int = BUDGET
) -> Calibration:
    """Statistics of the needed tensors, in one pass over the batches.

    A batch whose tensors exceed the budget is cut into runs of fewer samples; where one sample exceeds it, tensors
    are computed in groups, which runs the model once per group.

    Args:
        model: The model.
        batches: Calibration data, read once.
        needs: Tensors to observe, and whether with histograms.
        threads: Intra-op threads; None for TensorFlow's default.
        budget: Bytes of observed tensors in one run; a tensor of one sample may exceed it.

    Raises:
        ModelError: A tensor does not exist.
        DataError: The model fails on the data, or they drive a tensor to NaN or infinity.
    """
    observer = _Observer(model, needs.tensors, threads)
    try:
        return collect_streamed(batches, needs, lambda batch: observer.parts(batch.inputs, budget), model.fingerprint)
    finally:
        observer.close()


def observe(
    model: TensorFlowModel, batches: Iterable[Batch], tensors: Sequence[str], *, threads: int | None = None
) -> Iterator[Mapping[str, Array]]:
    """Values of tensors, batch by batch, in the order asked for.

    Raises:
        ModelError: A tensor does not exist.
        DataError: The model fails on the data.
    """
    observer = _Observer(model, tensors, threads)
    try:
        for batch in batches:
            found = observer.whole(batch.inputs)
            yield {name: found[name] for name in tensors}
    finally:
        observer.close()


class _Observer:
    """Runs a model and hands out tensors."""

    def __init__(self, model: TensorFlowModel, tensors: Sequence[str], threads: int | None) -> None:
        graph = model.graph
        for name in tensors:
            if name not in graph.consumers and node_name(name) not in graph.by_name:
                raise ModelError(f"the model computes no tensor '{name}'", hint=did_you_mean(name, graph.consumers))
        self._model = model
        self._threads = threads
        fed = model.frozen.input_tensors
        self._fed = {name: fed.index(name) for name in dict.fromkeys(tensors) if name in fed}
        # In execution order, so that the groups of a split read one stretch of the graph each.
        inner = (name for name in dict.fromkeys(tensors) if name not in fed)
        self._inner = tuple(sorted(inner, key=lambda name: graph.position[node_name(name)]))
        self._sessions: dict[tuple[str, ...], GraphSession] = {}
        self._bytes: dict[str, int] = {}

    def whole(self, inputs: Inputs) -> dict[str, Array]:
        """All tensors of a batch."""
        arrays = checked(inputs, self._model.inputs)
        return self._run(self._inner, arrays) | {name: arrays[i] for name, i in self._fed.items()}

    def parts(self, inputs: Inputs, budget: int) -> Iterator[dict[str, Array]]:
        """The tensors of a batch, in parts of at most so many bytes where one sample allows it."""
        arrays = checked(inputs, self._model.inputs)
        if self._fed:
            yield {name: arrays[i] for name, i in self._fed.items()}
        if not self._inner:
            return
        for chunk in self._chunks(arrays, budget):
            for group in self._groups(budget):
                found = self._run(group, chunk)
                if not self._bytes:
                    self._bytes = {name: array.nbytes for name, array in found.items()}
                yield found

    def close(self) -> None:
        """Release the sessions."""
        for session in self._sessions.values():
            session.close()
        self._sessions.clear()

    def _chunks(self, arrays: Sequence[Array], budget: int) -> Iterator[Sequence[Array]]:
        """Samples that are run together: one until it is known how much memory one takes."""
        specs = self._model.inputs
        rows = {
            len(array) if spec.shape and spec.shape[0] is None else 0 for spec, array in zip(specs, arrays, strict=True)
        }
        if len(rows) != 1 or 0 in rows:
            yield arrays
            return
        start, stop = 0, rows.pop()
        while start < stop:
            step = max(1, int(budget / sum(self._bytes.values()))) if self._bytes else 1
            yield [array[start : start + step] for array in arrays]
            start += step

    def _groups(self, budget: int) -> list[tuple[str, ...]]:
        """Tensors that are fetched together: all, unless one sample's exceed the budget."""
        groups: list[list[str]] = [[]]
        held = 0
        for name in self._inner:
            size = self._bytes.get(name, 0)
            if groups[-1] and held + size > budget:
                groups.append([])
                held = 0
            groups[-1].append(name)
            held += size
        return [tuple(group) for group in groups]

    def _run(self, tensors: tuple[str, ...], arrays: Sequence[Array]) -> dict[str, Array]:
        if not tensors:
            return {}
        try:
            if tensors not in self._sessions:
                settings = SessionSettings(self._threads)
                graph = self._model.graph
                self._sessions[tensors] = GraphSession(graph.proto, graph.inputs, tensors, settings)
            found = self._sessions[tensors].run(arrays)
        except FAILURES as error:
            raise DataError(
                f"the model fails on the calibration data: {reason(error)}",
                hint="check the shapes and the preprocessing of the calibration data",
            ) from error
        return dict(zip(tensors, found, strict=True))
