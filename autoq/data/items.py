"""One item of a user's iterable: a batch or a sample, with or without labels, of any array type."""

from __future__ import annotations

import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from autoq.core.batch import Array, Batch, Inputs, TensorSpec
from autoq.core.errors import AutoqError, DataError
from autoq.data.arrays import hash_value
from autoq.data.labels import pack_labels
from autoq.data.source import input_arrays, map_inputs

_LABEL_KEYS = ("labels", "label", "target", "targets")


@dataclass(frozen=True, eq=False)
class Item:
    """What an iterable gave, as NumPy arrays.

    Attributes:
        inputs: Model inputs, with a batch axis unless `is_sample`.
        labels: Labels of the batch, or the sample's label; None without.
        is_sample: Whether the batch axis is missing.
    """

    inputs: Inputs
    labels: Any | None
    is_sample: bool

    @property
    def structure(self) -> str:
        """Which inputs there are, in words; the same for every item of one data set."""
        if isinstance(self.inputs, np.ndarray):
            return "an array"
        if isinstance(self.inputs, Mapping):
            return f"a dict of {', '.join(sorted(self.inputs))}"
        return f"a list of {len(self.inputs)}"

    def stacks_with(self, other: Item) -> bool:
        """Whether both have the same names, shapes and dtypes."""
        left, right = input_arrays(self.inputs), input_arrays(other.inputs)
        return list(left) == list(right) and all(
            a.shape == right[n].shape and a.dtype == right[n].dtype for n, a in left.items()
        )


def read_item(value: Any, specs: Sequence[TensorSpec] | None, pairs: bool, place: str) -> Item:
    """Read an item.

    Args:
        value: ``inputs`` or a 2-tuple ``(inputs, label)``; inputs are an array, a dict by name (its ``labels`` entry
            is the labels unless the model has such an input), or a list of positional arrays.
        specs: What the model takes; an array of one axis less is a sample, otherwise a batch.
        pairs: A list of two means (inputs, label) as well: what torch's default collation makes of tuples.
        place: For messages.

    Raises:
        DataError: It is none of these.
    """
    labels: Any = None
    if isinstance(value, tuple) or (pairs and isinstance(value, list) and len(value) == 2):
        if len(value) not in (1, 2):
            raise DataError(
                f"a tuple of {len(value)} has no meaning here",
                where=place,
                hint="give inputs or (inputs, label); several inputs are a list or a dict by name",
            )
        labels = value[1] if len(value) == 2 else None
        value = value[0]
    if isinstance(value, Mapping):
        names = {spec.name for spec in specs or ()}
        key = next((k for k in _LABEL_KEYS if k in value and k not in names), None)
        if key is not None and labels is None and len(value) > 1:
            labels = value[key]
            value = {k: v for k, v in value.items() if k != key}
    inputs = _read_inputs(value, place)
    return Item(inputs, None if labels is None else read_labels(labels, place), _is_sample(inputs, specs))


def stack_items(items: Sequence[Item]) -> Item:
    """One batch of samples that stack."""
    columns = [list(input_arrays(item.inputs).values()) for item in items]
    stacked = iter([np.stack(arrays) for arrays in zip(*columns, strict=True)])
    inputs = map_inputs(items[0].inputs, lambda _: next(stacked))
    labels = [item.labels for item in items]
    return Item(inputs, None if any(label is None for label in labels) else pack_labels(labels), False)


def torch_pairs(items: object) -> bool:
    """Whether a list of two from this iterable means (input, label).

    A torch DataLoader's default collation turns the dataset's tuples into lists.
    """
    if not _is_torch(items):
        return False
    dataset = getattr(items, "dataset", None)
    if dataset is None or not hasattr(dataset, "__getitem__"):
        return True
    try:
        return isinstance(dataset[0], tuple)
    except (IndexError, KeyError, TypeError, NotImplementedError):
        # A dataset that is not indexed by position: tuples are the custom.
        return True


def torch_shuffles(items: object) -> bool:
    """Whether this is a torch DataLoader that draws its samples at random."""
    return _is_torch(items) and "Random" in type(getattr(items, "sampler", None)).__name__


def _is_torch(items: object) -> bool:
    return any(c.__module__.startswith("torch.utils.data") for c in type(items).__mro__)


def to_array(value: Any, place: str) -> Array:
    """A NumPy array from an array, a tensor of any framework, or numbers.

    Raises:
        DataError: It is none of these, or not numeric.
    """
    try:
        if not isinstance(value, np.ndarray):
            if hasattr(value, "detach"):
                value = value.detach().cpu()
                if str(value.dtype) == "torch.bfloat16":
                    value = value.float()  # NumPy has no such type
            value = value.numpy() if callable(getattr(value, "numpy", None)) else np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise DataError(f"cannot make a NumPy array of {type(value).__name__}: {error}", where=place) from error
    array = cast("Array", value)
    if array.dtype.kind not in "fiub":
        raise DataError(
            f"inputs must be numbers, not {array.dtype}",
            where=place,
            hint="samples of different shapes cannot form one array: pad them, or give one sample per batch",
        )
    return array


def hash_batch(batch: Batch) -> str:
    """Content hash of inputs and labels."""
    return hash_value([batch.inputs, batch.labels])


def iterate(items: Iterable[Any], where: str | None) -> Iterator[Any]:
    """Its iterator.

    Raises:
        DataError: It cannot be iterated.
    """
    try:
        return iter(items)
    except TypeError as error:
        raise DataError(
            f"the data are of type {type(items).__name__}, which cannot be iterated",
            where=where,
            hint="give a list, a generator, a DataLoader, an array, or a dict of arrays",
        ) from error


@contextmanager
def in_users_terms(where: str | None) -> Iterator[None]:
    """Turn an exception of the user's code into a `DataError` that names its line."""
    try:
        yield
    except (AutoqError, StopIteration):
        raise
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        last = frames[-1] if frames else None
        place = f"{last.filename}:{last.lineno}" if last else where
        raise DataError(
            f"the data{f' of {where}' if where else ''} raised {type(error).__name__}: {error}", where=place
        ) from error


def _read_inputs(value: Any, place: str) -> Inputs:
    if isinstance(value, Mapping):
        if not value:
            raise DataError("an empty dict holds no inputs", where=place)
        return {str(name): to_array(array, f"{place}, input '{name}'") for name, array in value.items()}
    if isinstance(value, list):
        if not value:
            raise DataError("an empty list holds no inputs", where=place)
        if all(isinstance(v, int | float | np.generic) for v in value):
            return to_array(value, place)
        return [to_array(array, f"{place}, input {i}") for i, array in enumerate(value)]
    if value is None or isinstance(value, str | bytes):
        raise DataError(f"inputs must be arrays, not {type(value).__name__}", where=place)
    return to_array(value, place)


def read_labels(value: Any, place: str) -> Any:
    """Labels as a string, a list, or an array of numbers.

    Raises:
        DataError: They are a dict, or hold what is neither text nor number.
    """
    if isinstance(value, str):
        return value
    if getattr(getattr(value, "dtype", None), "kind", None) == "O":
        value = list(value)
    if isinstance(value, Mapping):
        raise DataError(
            "labels must be an array or a list with one label per sample, not a dict",
            where=place,
            hint="for boxes give [boxes, 5] arrays of x1, y1, x2, y2, class",
        )
    if isinstance(value, list | tuple):
        labels = [read_labels(v, place) for v in value]
        return pack_labels(labels) if labels else []
    if isinstance(value, np.ndarray) and value.dtype.kind == "U":
        return value.tolist()
    return to_array(value, f"{place}, labels")


def _is_sample(inputs: Inputs, specs: Sequence[TensorSpec] | None) -> bool:
    if isinstance(inputs, Mapping):
        by_name = {spec.name: spec for spec in specs or ()}
        pairs = [(array, by_name.get(name)) for name, array in inputs.items()]
    else:
        arrays = [inputs] if isinstance(inputs, np.ndarray) else list(inputs)
        pairs = [(array, specs[i] if specs and i < len(specs) else None) for i, array in enumerate(arrays)]
    ranks = [(array.ndim, len(spec.shape)) for array, spec in pairs if spec is not None and spec.shape]
    if ranks:
        return all(have == want - 1 for have, want in ranks)
    return all(array.ndim == 0 for array, _ in pairs)
