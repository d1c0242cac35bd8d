"""What every source of samples is, and how batches are cut and joined."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from autoq.core.batch import Array, Batch, Inputs
from autoq.core.errors import DataError
from autoq.data.labels import pack_labels

Indices = NDArray[np.int64]


class DataSource(Protocol):
    """Samples in a fixed order; may be read any number of times."""

    @property
    def samples(self) -> int | None:
        """How many there are; None for a stream that was not counted."""

    def batches(self, start: int = 0, stop: int | None = None) -> Iterator[Batch]:
        """Samples ``start`` to ``stop`` in order.

        Batches lie on one grid that starts at sample 0, so that reading 0 to 16 and then 16 to 64 gives the same
        batches as reading 0 to 64 when 16 is on the grid.

        Raises:
            DataError: A sample cannot be read, or does not fit the model.
        """

    @property
    def fingerprint(self) -> str:
        """Content address of samples, order and batching."""


def count_samples(source: DataSource) -> int:
    """The number of samples; reads a stream once to count it.

    Raises:
        DataError: There are none.
    """
    known = source.samples
    count = known if known is not None else sum(batch.samples for batch in source.batches())
    if count == 0:
        raise no_samples()
    return count


def no_samples() -> DataError:
    """The error for data without a single sample."""
    return DataError("there are no samples", hint="check the path, offset and limit of the dataloader")


def map_inputs(inputs: Inputs, change: Any) -> Inputs:
    """The same structure with `change` applied to every array."""
    if isinstance(inputs, np.ndarray):
        return cast("Array", change(inputs))
    if isinstance(inputs, Mapping):
        return {name: change(array) for name, array in inputs.items()}
    return [change(array) for array in inputs]


def input_arrays(inputs: Inputs) -> dict[str, Array]:
    """Arrays by name, or by ``input 0`` and so on for positional ones."""
    if isinstance(inputs, np.ndarray):
        return {"input 0": inputs}
    if isinstance(inputs, Mapping):
        return dict(inputs)
    return {f"input {i}": array for i, array in enumerate(inputs)}


def row_count(inputs: Inputs) -> int:
    """Size of the first axis of the first array that has one.

    Raises:
        DataError: No array has an axis.
    """
    for array in input_arrays(inputs).values():
        if array.ndim:
            return len(array)
    raise DataError(
        "a batch needs arrays whose first axis is the batch, these inputs are single numbers",
        hint="stack samples along a new first axis",
    )


def take_samples(batch: Batch, chosen: Indices) -> Batch:
    """The chosen samples of a batch, in the order given.

    Raises:
        DataError: An input's first axis is not the batch, so it cannot be cut.
    """
    if len(chosen) == batch.samples and np.array_equal(chosen, np.arange(batch.samples)):
        return batch
    rows = row_count(batch.inputs)
    per_sample = rows // batch.samples
    wanted = (chosen[:, None] * per_sample + np.arange(per_sample)).ravel()

    def cut(array: Array) -> Array:
        if array.ndim == 0 or len(array) != rows:
            raise DataError(
                f"cannot take single samples out of a batch: an input of shape {array.shape} "
                f"does not have the batch's {rows} rows",
                hint="use batches of one sample",
            )
        return cast("Array", array[wanted])

    labels = batch.labels
    if labels is not None:
        labels = labels[chosen] if isinstance(labels, np.ndarray) else [labels[int(i)] for i in chosen]
    return Batch(map_inputs(batch.inputs, cut), labels, len(chosen))


def can_join(first: Batch, second: Batch) -> bool:
    """Whether two batches agree in names, dtypes, and shapes except the first axis."""
    left, right = input_arrays(first.inputs), input_arrays(second.inputs)
    return list(left) == list(right) and all(
        a.ndim > 0 and a.dtype == right[n].dtype and a.shape[1:] == right[n].shape[1:] for n, a in left.items()
    )


def join(batches: Sequence[Batch]) -> Batch:
    """One batch of all samples; they must be joinable (`can_join`)."""
    if len(batches) == 1:
        return batches[0]
    first = batches[0].inputs
    parts = [list(input_arrays(b.inputs).values()) for b in batches]
    joined = [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]
    inputs: Inputs
    if isinstance(first, np.ndarray):
        inputs = joined[0]
    elif isinstance(first, Mapping):
        inputs = dict(zip(first, joined, strict=True))
    else:
        inputs = joined
    labels = [b.labels for b in batches if b.labels is not None]
    whole = pack_labels([x for part in labels for x in part]) if len(labels) == len(batches) else None
    return Batch(inputs, whole, sum(b.samples for b in batches))


def on_grid(start: int, stop: int, size: int) -> Iterator[tuple[int, int]]:
    """Ranges that cover ``start`` to ``stop`` and break at multiples of `size`."""
    while start < stop:
        end = min(stop, (start // size + 1) * size)
        yield start, end
        start = end
