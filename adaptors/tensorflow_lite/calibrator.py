"""Statistics of intermediate tensors, streamed from an interpreter that keeps them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from autoq.adaptors.tensorflow_lite.model import LiteModel
from autoq.adaptors.tensorflow_lite.session import Session, checked
from autoq.calibration.histogram import TensorCollector
from autoq.calibration.io import content_digest
from autoq.core.batch import Array, Batch
from autoq.core.errors import DataError, ModelError, TrialError
from autoq.core.statistics import Calibration, Needs
from autoq.core.suggest import did_you_mean

BUDGET = 256 << 20
"""Bytes of tensors alive at once, where the model takes batches of any size."""


def collect(model: LiteModel, batches: Iterable[Batch], needs: Needs) -> Calibration:
    """Statistics of the needed tensors, in one pass over the batches; memory does not grow with their number.

    Raises:
        ModelError: A tensor does not exist.
        DataError: The model fails on the data, or they drive a tensor to NaN or infinity.
    """
    observer = Observer(model, needs.tensors)
    collectors = {name: TensorCollector(name, histogram=needs.histogram) for name in needs.tensors}
    samples = 0
    for batch in batches:
        samples += batch.samples
        for _ in observer.run(batch):
            for name, collector in collectors.items():
                collector.update(observer.tensor(name))
    statistics = {name: collector.statistics() for name, collector in collectors.items()}
    return Calibration(statistics, samples, content_digest(model.fingerprint, statistics))


def observe(model: LiteModel, batches: Iterable[Batch], tensors: Sequence[str]) -> Iterator[Mapping[str, Array]]:
    """Values of tensors, batch by batch, in the order asked for.

    Raises:
        ModelError: A tensor does not exist.
        DataError: The model fails on the data.
    """
    observer = Observer(model, tensors)
    for batch in batches:
        parts = [{name: observer.tensor(name) for name in tensors} for _ in observer.run(batch)]
        yield {
            name: np.concatenate([part[name] for part in parts]) if len(parts) > 1 else parts[0][name]
            for name in tensors
        }


class Observer:
    """Runs a float model and shows any of its tensors.

    Args:
        model: The model.
        tensors: Names that will be asked for.
        threads: Threads of one inference.

    Raises:
        ModelError: A tensor does not exist.
    """

    def __init__(self, model: LiteModel, tensors: Sequence[str], threads: int | None = None) -> None:
        self._model = model
        self._index = model.graph.index_of
        odd = next((name for name in tensors if name not in self._index), None)
        if odd is not None:
            raise ModelError(f"the model computes no tensor '{odd}'", hint=did_you_mean(odd, self._index))
        self._session = Session(model.content, model.interface, threads, keep_tensors=True)
        self._rows = rows_within(model, BUDGET)

    def run(self, batch: Batch) -> Iterator[int]:
        """Run a batch, in parts that fit into memory; yields the rows of each part once it was run.

        Raises:
            DataError: The model fails on it.
        """
        fed = checked(batch.inputs, self._model.interface)
        for part in split(fed, self._rows):
            try:
                self._session.run(part)
            except TrialError as error:
                raise DataError(
                    f"the model fails on the calibration data: {error.message}",
                    hint="check the shapes and the preprocessing of the calibration data",
                ) from error
            yield len(next(iter(part.values()))) if self._rows is not None else 0

    def tensor(self, name: str) -> Array:
        """A tensor of the part that was run last."""
        return self._session.tensor(self._index[name])


def rows_within(model: LiteModel, budget: int) -> int | None:
    """Rows of a batch whose tensors fit into `budget` bytes; None where a batch cannot be split."""
    shapes = [spec.shape for spec in (*model.inputs, *model.outputs)]
    if not all(shape and shape[0] is None for shape in shapes):
        return None
    row = sum(math.prod(size or 1 for size in t.shape) * 4 for t in model.graph.tensors if not t.constant)
    return max(1, budget // max(1, row))


def split(fed: Mapping[str, Array], rows: int | None) -> Iterator[dict[str, Array]]:
    """A batch in parts of at most `rows` rows; whole where its inputs differ in length."""
    lengths = {len(array) for array in fed.values()} if rows is not None else set[int]()
    if rows is None or len(lengths) != 1:
        yield dict(fed)
        return
    for start in range(0, lengths.pop(), rows):
        yield {name: array[start : start + rows] for name, array in fed.items()}
