"""Rows of JSON-lines and CSV files, read by position through an index of line starts."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from autoq.config.schema import TableDataset
from autoq.core.batch import TensorSpec
from autoq.core.errors import DataError
from autoq.data.columns import FileTable
from autoq.data.labels import pack_labels, typed_labels
from autoq.data.source import Indices


class JsonlTable(FileTable):
    """A file with one JSON object per line."""

    def __init__(self, spec: TableDataset, base: Path, input_specs: Sequence[TensorSpec] | None = None) -> None:
        super().__init__(spec, base, input_specs)
        self._starts, self._lines = _index_lines(self._path, quoted=False)

    @property
    def rows(self) -> int:
        """How many lines hold something."""
        return len(self._starts)

    def _place(self, row: int) -> str:
        return f"{self._path}:{self._lines[row]}"

    def _row(self, row: int) -> Mapping[str, Any]:
        with self._path.open("rb") as file:
            file.seek(int(self._starts[row]))
            text = file.readline()
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise DataError(f"the line is no JSON: {error}", where=self._place(row)) from error
        if not isinstance(value, dict):
            raise DataError(f"a line is a JSON object, this one is a {type(value).__name__}", where=self._place(row))
        self._columns.check(list(value), self._place(row))
        return value


class CsvTable(FileTable):
    """A file of comma-separated values whose first line names the columns."""

    def __init__(self, spec: TableDataset, base: Path, input_specs: Sequence[TensorSpec] | None = None) -> None:
        super().__init__(spec, base, input_specs)
        starts, self._lines = _index_lines(self._path, quoted=True)
        self._ends = np.append(starts, self._path.stat().st_size)[1:]
        self._starts = starts
        if not len(starts):
            raise DataError("the file is empty", where=str(self._path), hint="the first line names the columns")
        self._names = [name.strip().lstrip("\ufeff") for name in self._record(0)]
        self._columns.check(self._names, f"{self._path}:1")

    @property
    def rows(self) -> int:
        """How many rows follow the header."""
        return len(self._starts) - 1

    def labels(self, items: Indices) -> Any:
        """Labels of several rows: numbers where the whole column holds numbers, else texts."""
        return pack_labels([self._all_labels[int(i)] for i in items])

    @cached_property
    def _all_labels(self) -> list[Any]:
        column = str(self._columns.labels)
        return typed_labels([self._row(i)[column] for i in range(self.rows)])

    def _place(self, row: int) -> str:
        return self._record_place(row + 1)

    def _record_place(self, record: int) -> str:
        return f"{self._path}:{self._lines[record]}"

    def _row(self, row: int) -> Mapping[str, str]:
        cells = self._record(row + 1)
        if len(cells) != len(self._names):
            raise DataError(
                f"the row has {len(cells)} values, the header names {len(self._names)} columns",
                where=self._place(row),
            )
        return dict(zip(self._names, cells, strict=True))

    def _record(self, record: int) -> list[str]:
        with self._path.open("rb") as file:
            file.seek(int(self._starts[record]))
            raw = file.read(int(self._ends[record] - self._starts[record]))
        try:
            return next(csv.reader(io.StringIO(raw.decode("utf-8"), newline=""), strict=True), [])
        except (UnicodeDecodeError, csv.Error) as error:
            raise DataError(f"the row cannot be read: {error}", where=self._record_place(record)) from error


def _index_lines(path: Path, *, quoted: bool) -> tuple[Indices, Indices]:
    """Byte offsets and line numbers of records; blank lines are left out.

    A quoted field of a CSV file may hold line ends: a record goes on while its number of quotes is odd.
    """
    starts, lines = [], []
    position, open_quotes = 0, False
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not open_quotes and line.strip():
                starts.append(position)
                lines.append(number)
            if quoted and line.count(b'"') % 2:
                open_quotes = not open_quotes
            position += len(line)
    return np.array(starts, dtype=np.int64), np.array(lines, dtype=np.int64)
