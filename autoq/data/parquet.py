"""Rows of Parquet files (needs pyarrow)."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from autoq.config.schema import TableDataset
from autoq.core.batch import Inputs, TensorSpec
from autoq.core.digest import digest_of
from autoq.core.errors import DataError, MissingDependencyError
from autoq.data.files import existing_file, fingerprint_files
from autoq.data.source import Indices, pack_labels
from autoq.data.table import Columns, label_value


class ParquetTable:
    """A Parquet file; one row group is in memory at a time, and only the columns that are needed."""

    def __init__(self, spec: TableDataset, base: Path, input_specs: Sequence[TensorSpec] | None = None) -> None:
        try:
            arrow = importlib.import_module("pyarrow")
            parquet = importlib.import_module("pyarrow.parquet")
        except ModuleNotFoundError as error:
            raise MissingDependencyError(
                "reading Parquet files needs the package 'pyarrow', which is not installed",
                hint="pip install 'autoq[parquet]'",
            ) from error
        self._spec = spec
        self._path = existing_file(base / Path(spec.path).expanduser())
        self._columns = Columns(spec, input_specs)
        self._error: type[Exception] = arrow.ArrowException
        try:
            self._file = parquet.ParquetFile(self._path)
        except (self._error, OSError) as error:
            raise self._damaged(error) from error
        self._columns.check(list(self._file.schema_arrow.names), str(self._path))
        sizes = [self._file.metadata.row_group(i).num_rows for i in range(self._file.num_row_groups)]
        self._firsts = np.cumsum([0, *sizes])
        self._group: tuple[int, list[Mapping[str, Any]]] | None = None

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return int(self._firsts[-1])

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
        return self._columns.stack([self._row(int(i)) for i in rows], [f"{self._path}, row {int(i)}" for i in rows])

    def labels(self, items: Indices) -> Any:
        """Labels of several rows."""
        return pack_labels([label_value(self._row(int(i))[str(self._columns.labels)]) for i in items])

    def _row(self, row: int) -> Mapping[str, Any]:
        group = int(np.searchsorted(self._firsts, row, side="right")) - 1
        if self._group is None or self._group[0] != group:
            try:
                table = self._file.read_row_group(group, columns=self._columns.needed)
            except (self._error, OSError) as error:
                raise self._damaged(error) from error
            self._group = (group, table.to_pylist())
        return self._group[1][row - int(self._firsts[group])]

    def _damaged(self, error: Exception) -> DataError:
        return DataError(f"the Parquet file cannot be read: {error}", where=str(self._path))
