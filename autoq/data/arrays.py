"""Rows of arrays in memory or mapped from a file."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, cast

import numpy as np

from autoq.core.batch import Array, Inputs
from autoq.core.digest import digest_of
from autoq.core.errors import DataError
from autoq.data.labels import pack_labels
from autoq.data.source import Indices, input_arrays, map_inputs


class ArrayTable:
    """Rows along the first axis of one or several arrays.

    Args:
        inputs: One array, arrays by input name, or a list of positional arrays.
        labels: One per row or per sample, or None.
        fingerprint: Content address, when a cheaper one than hashing the arrays is known.

    Raises:
        DataError: The arrays differ in length, or hold Python objects.
    """

    def __init__(self, inputs: Inputs, labels: Array | Sequence[Any] | None = None, fingerprint: str | None = None):
        lengths = {name: len(a) if a.ndim else None for name, a in input_arrays(inputs).items()}
        if not lengths or None in lengths.values():
            raise DataError("arrays of samples need a first axis: the samples")
        if len(set(lengths.values())) > 1:
            shown = ", ".join(f"'{n}': {c}" for n, c in lengths.items())
            raise DataError(f"input arrays differ in their number of rows: {shown}")
        for name, array in input_arrays(inputs).items():
            if array.dtype.kind not in "fiub":
                raise DataError(f"array '{name}' holds {array.dtype}, the model takes numbers")
        self._inputs = inputs
        self._labels = labels
        self._known = fingerprint

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(next(iter(input_arrays(self._inputs).values())))

    @property
    def label_count(self) -> int | None:
        """How many labels there are, or None."""
        return None if self._labels is None else len(self._labels)

    def inputs(self, rows: Indices) -> Inputs:
        """Stacked rows."""
        # Consecutive rows are a slice: a mapped file is then read as one piece.
        consecutive = len(rows) and int(rows[-1]) - int(rows[0]) == len(rows) - 1 and bool((np.diff(rows) == 1).all())
        key = slice(int(rows[0]), int(rows[-1]) + 1) if consecutive else rows
        return map_inputs(self._inputs, lambda array: np.array(array[key]))

    def labels(self, items: Indices) -> Any:
        """Labels by number."""
        labels = self._labels
        if isinstance(labels, np.ndarray):
            chosen = np.array(labels[items])
            return chosen.tolist() if chosen.dtype.kind == "U" else chosen
        return pack_labels([cast("Sequence[Any]", labels)[int(i)] for i in items])

    @cached_property
    def fingerprint(self) -> str:
        """Content address of rows and labels."""
        return self._known or digest_of([hash_value(self._inputs), hash_value(self._labels)])


def hash_value(value: Any) -> str:
    """Content hash of arrays, and of lists and dicts of them."""
    digest = hashlib.sha256()
    _feed(digest, value)
    return digest.hexdigest()


def _feed(digest: Any, value: Any) -> None:
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        digest.update(f"{value.dtype.str}{value.shape}".encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    elif isinstance(value, Mapping):
        for name in value:
            digest.update(f"key {name}".encode())
            _feed(digest, value[name])
    elif isinstance(value, list | tuple | np.ndarray):  # an array of objects is hashed by what they hold
        digest.update(f"list {len(value)}".encode())
        for item in value:
            _feed(digest, item)
    else:
        digest.update(f"{type(value).__name__} {value!r}".encode())
