"""How far a candidate's outputs are from fp32's: a continuous companion of the metric."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from autoq.core.batch import Array, Batch, Inputs, Outputs

_MOST_BYTES = 64 * 2**20
"""Outputs of fp32 that are kept at most; a first batch is kept in any case."""


class Divergence:
    """Relative squared error of outputs, collected batch by batch.

    For each float output ``sum ||y - q||^2 / sum ||y||^2`` over all samples, where y is fp32's output and q the
    candidate's: the inverse of the signal-to-quantization-noise ratio. For an output of whole numbers the share of
    elements that differ. `value` is the mean over the outputs whose shapes agree in every batch.
    """

    def __init__(self) -> None:
        self._errors: dict[str, float] = {}
        self._norms: dict[str, float] = {}
        self._incomparable: set[str] = set()

    def add(self, found: Mapping[str, Array], expected: Mapping[str, Array]) -> None:
        """One batch of outputs and what fp32 gave for it."""
        for name, reference in expected.items():
            other = found.get(name)
            if other is None or other.shape != reference.shape:
                self._incomparable.add(name)
                continue
            if reference.dtype.kind == "f":
                wanted = reference.astype(np.float64)
                error, norm = float(np.square(other - wanted).sum()), float(np.square(wanted).sum())
            else:
                error, norm = float((other != reference).sum()), float(reference.size)
            self._errors[name] = self._errors.get(name, 0.0) + error
            self._norms[name] = self._norms.get(name, 0.0) + norm

    @property
    def value(self) -> float | None:
        """The mean over comparable outputs; None when there are none."""
        ratios = [
            self._errors[name] / self._norms[name] if self._norms[name] else float(self._errors[name] > 0)
            for name in self._errors
            if name not in self._incomparable
        ]
        return float(np.mean(ratios)) if ratios else None


@dataclass(frozen=True, eq=False)
class Expected:
    """What fp32 gave for one batch.

    Attributes:
        outputs: By name.
        rows: Of the batch's inputs; None where they have no first axis.
    """

    outputs: Mapping[str, Array]
    rows: int | None

    def first(self, rows: int | None) -> Mapping[str, Array]:
        """The outputs for the first so many rows of the batch, where an evaluation ends in the middle of it.

        Only outputs with as many rows for each row of the inputs can be cut; the others stay whole.
        """
        if rows is None or self.rows is None or not 0 < rows < self.rows:
            return self.outputs
        return {name: self._cut(array, rows, self.rows) for name, array in self.outputs.items()}

    @staticmethod
    def _cut(array: Array, rows: int, of: int) -> Array:
        return array[: len(array) // of * rows] if array.ndim and len(array) % of == 0 else array


class Reference:
    """fp32's outputs for the first few samples, to compare candidates with.

    Args:
        predict: fp32.
        batches: Samples from the first one on; read until there are enough.
        samples: Samples that are enough; the last batch is kept whole.
    """

    def __init__(self, predict: Callable[[Inputs], Outputs], batches: Iterable[Batch], samples: int) -> None:
        kept: list[Expected] = []
        done = size = 0
        for batch in batches:
            outputs = dict(predict(batch.inputs))
            size += sum(array.nbytes for array in outputs.values())
            if kept and size > _MOST_BYTES:
                break
            kept.append(Expected({n: np.array(array) for n, array in outputs.items()}, _rows(batch.inputs)))
            done += batch.samples
            if done >= samples:
                break
        self.outputs: Sequence[Expected] = kept

    def divergence(self, predict: Callable[[Inputs], Outputs], batches: Iterable[Batch]) -> float | None:
        """Of a candidate on the same samples; `batches` are read as far as needed."""
        watched = self.watch(predict)
        for _, batch in zip(self.outputs, batches, strict=False):
            watched(batch.inputs)
        return watched.value

    def watch(self, predict: Callable[[Inputs], Outputs]) -> Watched:
        """A candidate that is compared on the way, while it is run on the same batches from the first one on."""
        return Watched(predict, self.outputs)


class Watched:
    """Runs a candidate, and compares its first outputs with what is expected."""

    def __init__(self, predict: Callable[[Inputs], Outputs], expected: Sequence[Expected]) -> None:
        self._predict = predict
        self._expected = expected
        self._seen = 0
        self._divergence = Divergence()

    def __call__(self, inputs: Inputs) -> Outputs:
        """Run one batch."""
        outputs = self._predict(inputs)
        if self._seen < len(self._expected):
            self._divergence.add(outputs, self._expected[self._seen].first(_rows(inputs)))
        self._seen += 1
        return outputs

    @property
    def value(self) -> float | None:
        """The divergence so far."""
        return self._divergence.value


def _rows(inputs: Inputs) -> int | None:
    """Size of the first axis of the first input that has one."""
    if isinstance(inputs, np.ndarray):
        arrays: Iterable[Array] = (inputs,)
    else:
        arrays = inputs.values() if isinstance(inputs, Mapping) else inputs
    return next((len(array) for array in arrays if array.ndim), None)
