"""Tables: which columns feed which inputs, and what every file of rows and columns has in common."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from autoq.config.schema import TableDataset
from autoq.core.batch import Array, Inputs, TensorSpec
from autoq.core.digest import digest_of
from autoq.core.errors import ConfigError, DataError
from autoq.core.suggest import did_you_mean
from autoq.data.files import existing_file, fingerprint_files
from autoq.data.labels import label_value, pack_labels
from autoq.data.source import Indices


class Columns:
    """Which columns feed which inputs, and how cells become arrays; shared by all kinds of table.

    Args:
        spec: The job's section.
        input_specs: What the model takes: dtypes, and whether single numbers stand for rows of one.
    """

    def __init__(self, spec: TableDataset, input_specs: Sequence[TensorSpec] | None) -> None:
        if spec.dtype is not None:
            try:
                np.dtype(spec.dtype)
            except TypeError as error:
                raise ConfigError(f"'{spec.dtype}' is no NumPy dtype", hint="e.g. float32 or int64") from error
        self.labels = spec.labels
        self.positional = isinstance(spec.inputs, list)
        names = list(spec.inputs.values()) if isinstance(spec.inputs, dict) else list(spec.inputs)
        if not names:
            raise ConfigError("inputs of a table names no column")
        self.inputs = names
        self.feeds = list(spec.inputs) if isinstance(spec.inputs, dict) else names
        self._dtype = spec.dtype
        by_name = {s.name: s for s in input_specs or ()}
        if self.positional:
            self._specs = [input_specs[i] if input_specs and i < len(input_specs) else None for i in range(len(names))]
        else:
            self._specs = [by_name.get(name) for name in self.feeds]

    @property
    def needed(self) -> list[str]:
        """All columns that are read."""
        return [*self.inputs, *([self.labels] if self.labels else [])]

    def check(self, columns: Sequence[str], where: str) -> None:
        """Raise `DataError` unless the file has every column."""
        for name in self.needed:
            if name not in columns:
                raise DataError(f"there is no column '{name}'", where=where, hint=did_you_mean(name, columns))

    def stack(self, rows: Sequence[Mapping[str, Any]], places: Sequence[str]) -> Inputs:
        """Input arrays of several rows."""
        arrays = [
            self._array([row[column] for row in rows], column, spec, places)
            for column, spec in zip(self.inputs, self._specs, strict=True)
        ]
        if self.positional:
            return arrays if len(arrays) > 1 else arrays[0]
        return dict(zip(self.feeds, arrays, strict=True))

    def _array(self, cells: list[Any], column: str, spec: TensorSpec | None, places: Sequence[str]) -> Array:
        parts = [_cell(cell, column, place) for cell, place in zip(cells, places, strict=True)]
        for part, place in zip(parts, places, strict=True):
            if part.shape != parts[0].shape:
                raise DataError(
                    f"column '{column}' has shape {list(part.shape)} here, {list(parts[0].shape)} earlier in the batch",
                    where=place,
                    hint="pad the rows to one length, or set batch_size: 1",
                )
        array = np.stack(parts)
        # A single number per row feeds an input of rank 2 as rows of one.
        if array.ndim == 1 and spec is not None and spec.shape is not None and len(spec.shape) == 2:
            array = array[:, None]
        return self._cast(array, column, spec, places)

    def _cast(self, array: Array, column: str, spec: TensorSpec | None, places: Sequence[str]) -> Array:
        want = np.dtype(self._dtype or (spec.dtype if spec is not None else array.dtype))
        if array.dtype == want:
            return array
        with np.errstate(invalid="ignore", over="ignore"):
            cast = array.astype(want)
        if want.kind in "iub":
            wrong = cast.astype(np.float64) != array.astype(np.float64)
            if wrong.any():
                row = int(np.argwhere(wrong)[0][0])
                raise DataError(
                    f"column '{column}' holds {array[wrong].flat[0]}, which is no {want.name}",
                    where=places[row],
                )
        return cast


def _cell(value: Any, column: str, place: str) -> Array:
    if isinstance(value, str):
        shown = value if len(value) <= 40 else value[:37] + "..."
        value = _number_or_list(value)
        if isinstance(value, str):
            raise DataError(
                f"column '{column}' holds '{shown}', inputs are numbers or JSON lists of numbers", where=place
            )
    if value is None:
        raise DataError(f"column '{column}' is empty here", where=place, hint="fill in or remove the row")
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise DataError(f"column '{column}' holds lists of different lengths", where=place, hint="pad them") from error
    if array.dtype.kind not in "fiub":
        raise DataError(f"column '{column}' holds {value!r:.40}, inputs are numbers", where=place)
    return array


def _number_or_list(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    if text.strip().startswith("["):
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text


class FileTable(ABC):
    """A file of rows and columns; a kind of file says how one row is read.

    Args:
        spec: The job's section.
        base: Folder that a relative path starts from.
        input_specs: What the model takes.
    """

    def __init__(self, spec: TableDataset, base: Path, input_specs: Sequence[TensorSpec] | None = None) -> None:
        self._spec = spec
        self._path = existing_file(base / Path(spec.path).expanduser())
        self._columns = Columns(spec, input_specs)

    @property
    @abstractmethod
    def rows(self) -> int:
        """How many rows there are."""

    @property
    def label_count(self) -> int | None:
        """One per row, or None."""
        return self.rows if self._columns.labels else None

    @cached_property
    def fingerprint(self) -> str:
        """Content address of the file and of what is read from it."""
        return digest_of([fingerprint_files([self._path]), self._spec.model_dump(mode="json", exclude={"path"})])

    def inputs(self, rows: Indices) -> Inputs:
        """Input arrays of several rows."""
        return self._columns.stack([self._row(int(i)) for i in rows], [self._place(int(i)) for i in rows])

    def labels(self, items: Indices) -> Any:
        """Labels of several rows."""
        return pack_labels([label_value(self._row(int(i))[str(self._columns.labels)]) for i in items])

    @abstractmethod
    def _row(self, row: int) -> Mapping[str, Any]:
        """The cells of a row by column."""

    @abstractmethod
    def _place(self, row: int) -> str:
        """Where a row stands, for messages."""
