"""How far a candidate's outputs are from fp32's: a continuous companion of the metric."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

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


class Reference:
    """fp32's outputs for the first few samples, to compare candidates with.

    Args:
        predict: fp32.
        batches: Samples from the first one on; read until there are enough.
        samples: Samples that are enough; the last batch is kept whole.
    """

    def __init__(self, predict: Callable[[Inputs], Outputs], batches: Iterable[Batch], samples: int) -> None:
        kept: list[Mapping[str, Array]] = []
        done = size = 0
        for batch in batches:
            outputs = dict(predict(batch.inputs))
            size += sum(array.nbytes for array in outputs.values())
            if kept and size > _MOST_BYTES:
                break
            kept.append({name: np.array(array) for name, array in outputs.items()})
            done += batch.samples
            if done >= samples:
                break
        self.outputs: Sequence[Mapping[str, Array]] = kept

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

    def __init__(self, predict: Callable[[Inputs], Outputs], expected: Sequence[Mapping[str, Array]]) -> None:
        self._predict = predict
        self._expected = expected
        self._seen = 0
        self._divergence = Divergence()

    def __call__(self, inputs: Inputs) -> Outputs:
        """Run one batch."""
        outputs = self._predict(inputs)
        if self._seen < len(self._expected):
            self._divergence.add(outputs, self._expected[self._seen])
        self._seen += 1
        return outputs

    @property
    def value(self) -> float | None:
        """The divergence so far."""
        return self._divergence.value
