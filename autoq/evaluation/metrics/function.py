"""A metric that is a user's function of all predictions and labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from autoq.core.batch import Array, Batch
from autoq.core.errors import AutoqError, EvaluationError
from autoq.core.records import Records
from autoq.evaluation.metrics.base import Floats, SetMetric, check_count, finite, label_sequence, single_output

_KINDS = {"f": 0, "i": 1, "u": 1, "b": 2, "U": 3}


def encode(value: Any) -> Floats:
    """One sample's array or string as numbers that say how to read them: kind, rank, shape, values."""
    array = np.asarray(value)
    kind = _KINDS.get(array.dtype.kind)
    if kind is None or (kind == 3 and array.ndim):
        raise EvaluationError(
            f"a metric function takes numbers or strings per sample, not dtype {array.dtype}, shape {array.shape}"
        )
    if kind == 3:
        array = np.array([ord(c) for c in str(array)])
    return np.concatenate([[kind, array.ndim], array.shape, array.ravel()]).astype(np.float64)


def decode(numbers: Floats) -> tuple[Any, int]:
    """The value `encode` wrote at the front of `numbers`, and how many numbers it took."""
    kind, rank = int(numbers[0]), int(numbers[1])
    shape = tuple(int(n) for n in numbers[2 : 2 + rank])
    start, size = 2 + rank, int(np.prod(shape, dtype=np.int64))
    values = numbers[start : start + size].reshape(shape)
    if kind == 3:
        return "".join(chr(int(v)) for v in values), start + size
    if rank == 0:
        return (values[()].item(), int(values[()]), bool(values[()]))[kind], start + size
    return values.astype((np.float64, np.int64, np.bool_)[kind]), start + size


@dataclass(frozen=True)
class FunctionMetric(SetMetric):
    """``function(predictions, labels) -> float`` over the whole set.

    Each argument is one array with a row per sample where all samples have one shape, else a list. Without labels
    the function gets None for them. Floats are float64, integers int64.
    """

    resample_overhead: ClassVar[int] = 40_000
    function: Callable[[Any, Any], Any] = max
    arguments: tuple[tuple[str, Any], ...] = ()

    def records(self, predictions: Any, batch: Batch) -> Records:
        """One column per sample: its encoded prediction and label."""
        values = predictions if isinstance(predictions, list) else _rows(predictions, self.name)
        check_count(len(values), batch, self.name)
        labels = label_sequence(batch, self.name) if batch.labels is not None else None
        rows = [
            np.concatenate([encode(value), encode(labels[i])]) if labels is not None else encode(value)
            for i, value in enumerate(values)
        ]
        return Records.of_ragged(rows, 1)

    def score(self, records: Records, reference: Records) -> float:
        """What the function returns.

        Raises:
            EvaluationError: It raised, or returned something that is not a finite number.
        """
        del reference
        if not len(records):
            raise EvaluationError(f"metric '{self.name}' has no samples to score")
        predictions, labels = [], []
        for i in range(len(records)):
            numbers = records[i][:, 0]
            value, used = decode(numbers)
            predictions.append(value)
            if used < len(numbers):
                labels.append(decode(numbers[used:])[0])
        try:
            value = self.function(_stack(predictions), _stack(labels) if labels else None, **dict(self.arguments))
        except AutoqError:
            raise
        except Exception as error:
            raise EvaluationError(f"metric '{self.name}' raised {type(error).__name__}: {error}") from error
        try:
            number = float(value)
        except (TypeError, ValueError) as error:
            raise EvaluationError(f"metric '{self.name}' must return a number, not {type(value).__name__}") from error
        return finite(number, self.name)


def _rows(predictions: Any, name: str) -> Array:
    array = np.asarray(predictions)
    if array.dtype.kind == "U" and array.ndim == 1:
        return array
    array = single_output(predictions, name)
    if array.ndim == 0:
        raise EvaluationError(f"metric '{name}' takes one prediction per sample, not a single number")
    return array


def _stack(values: list[Any]) -> Any:
    if isinstance(values[0], str):
        return values
    shapes = {np.shape(v) for v in values}
    return np.array(values) if len(shapes) == 1 else values
