"""Statistics of intermediate tensors, streamed from an optimized session."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import onnxruntime as ort

from autoq.adaptors.onnxrt.session import SessionSettings, make_session, reason
from autoq.calibration.histogram import TensorCollector
from autoq.calibration.io import content_digest
from autoq.core.batch import Array, Batch, TensorSpec
from autoq.core.errors import DataError, ModelError
from autoq.core.statistics import Calibration, Needs

Feed = Callable[[Batch], Mapping[str, Array]]


class Observable(Protocol):
    """What the calibrator asks of a model."""

    @property
    def fingerprint(self) -> str:
        """Content address."""

    @property
    def folder(self) -> Path | None:
        """Where external data of `serialize`'s bytes lie."""

    @property
    def inputs(self) -> Sequence[TensorSpec]:
        """What it takes."""

    def serialize(self, extra_outputs: Sequence[str] = ()) -> bytes:
        """The model with intermediate tensors as further outputs."""


def collect(
    model: Observable, batches: Iterable[Batch], needs: Needs, feed: Feed, *, threads: int | None = None
) -> Calibration:
    """Statistics of the needed tensors, in one pass over the batches."""
    collectors = {name: TensorCollector(name, histogram=needs.histogram) for name in needs.tensors}
    samples = 0
    for batch, tensors in _observed(model, batches, needs.tensors, feed, threads):
        samples += batch.samples
        for name, values in tensors.items():
            if np.issubdtype(values.dtype, np.floating):
                collectors[name].update(values)
    statistics = {name: c.statistics() for name, c in collectors.items()}
    return Calibration(statistics, samples, content_digest(model.fingerprint, statistics))


def observe(
    model: Observable, batches: Iterable[Batch], tensors: Sequence[str], feed: Feed, *, threads: int | None = None
) -> Iterator[Mapping[str, Array]]:
    """Values of tensors, batch by batch."""
    for _, values in _observed(model, batches, tensors, feed, threads):
        yield values


def _observed(
    model: Observable, batches: Iterable[Batch], tensors: Sequence[str], feed: Feed, threads: int | None
) -> Iterator[tuple[Batch, Mapping[str, Array]]]:
    inputs = {spec.name for spec in model.inputs}
    inner = [name for name in tensors if name not in inputs]
    session: ort.InferenceSession | None = None
    for batch in batches:
        fed = feed(batch)
        if session is None:
            try:
                session = make_session(model.serialize(inner), SessionSettings(threads=threads, folder=model.folder))
            except Exception as error:
                raise ModelError(f"the model cannot be observed: {reason(error)}") from error
        try:
            values = session.run(inner, dict(fed)) if inner else []
        except Exception as error:
            raise DataError(f"calibration failed: {reason(error)}") from error
        found = dict(zip(inner, values, strict=True))
        yield batch, {name: fed[name] if name in inputs else found[name] for name in tensors}
