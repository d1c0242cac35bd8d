"""Rows of Parquet files (needs pyarrow)."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from autoq.config.schema import TableDataset
from autoq.core.batch import TensorSpec
from autoq.core.errors import DataError, MissingDependencyError
from autoq.data.columns import FileTable


class ParquetTable(FileTable):
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
        super().__init__(spec, base, input_specs)
        self._error: type[Exception] = arrow.ArrowException
        try:
            self._file = parquet.ParquetFile(self._path)
        except (self._error, OSError) as error:
            raise self._damaged(error) from error
        self._columns.check(list(self._file.schema_arrow.names), str(self._path))
        sizes = [self._file.metadata.row_group(i).num_rows for i in range(self._file.num_row_groups)]
        self._firsts = np.cumsum([0, *sizes])
        self._group: tuple[int, list[Mapping[str, Any]]] | None = None
        self._reading = threading.Lock()  # readers of one file at the same time may wait for each other forever

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return int(self._firsts[-1])

    def _row(self, row: int) -> Mapping[str, Any]:
        group = int(np.searchsorted(self._firsts, row, side="right")) - 1
        with self._reading:
            if self._group is None or self._group[0] != group:
                try:
                    table = self._file.read_row_group(group, columns=self._columns.needed, use_threads=False)
                except (self._error, OSError) as error:
                    raise self._damaged(error) from error
                self._group = (group, table.to_pylist())
            return self._group[1][row - int(self._firsts[group])]

    def _place(self, row: int) -> str:
        return f"{self._path}, row {row}"

    def _damaged(self, error: Exception) -> DataError:
        return DataError(f"the Parquet file cannot be read: {error}", where=str(self._path))
