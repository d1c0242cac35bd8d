"""Sources whose samples can be read in any order."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from autoq.core.batch import Batch, Inputs, TensorSpec
from autoq.core.digest import digest_of
from autoq.core.errors import DataError
from autoq.data.check import check_inputs
from autoq.data.source import Indices, no_samples, on_grid


class RowTable(Protocol):
    """Input rows by number, from a file or from memory."""

    @property
    def rows(self) -> int:
        """How many input rows there are."""

    @property
    def label_count(self) -> int | None:
        """How many labels there are (one per row or one per sample), or None."""

    @property
    def fingerprint(self) -> str:
        """Content address of rows and labels."""

    def inputs(self, rows: Indices) -> Inputs:
        """Stacked rows."""

    def labels(self, items: Indices) -> Any:
        """Labels by number: an array, or a list where they differ in shape."""


class IndexedSource:
    """Samples of a `RowTable`, batched.

    Args:
        table: The rows.
        batch_size: Samples per batch; the last batch may be smaller.
        rows_per_sample: Consecutive rows that make one sample.
        input_specs: What the model takes, to check batches against; None to pass them as they are.
        chosen: Sample numbers to use, in order; all by default.

    Raises:
        DataError: No rows, rows that are no multiple of `rows_per_sample`, or labels that do not match.
    """

    def __init__(
        self,
        table: RowTable,
        batch_size: int = 1,
        rows_per_sample: int = 1,
        input_specs: Sequence[TensorSpec] | None = None,
        chosen: Indices | None = None,
    ) -> None:
        if table.rows == 0:
            raise no_samples()
        if table.rows % rows_per_sample:
            raise DataError(f"{table.rows} rows cannot be divided into samples of {rows_per_sample} rows")
        total = table.rows // rows_per_sample
        if table.label_count not in (None, total, table.rows):
            raise DataError(
                f"there are {table.label_count} labels for {total} samples", hint="give exactly one label per sample"
            )
        self._table = table
        self._batch_size = batch_size
        self._rows_per_sample = rows_per_sample
        self._specs = input_specs
        self._chosen = np.arange(total) if chosen is None else chosen

    @property
    def samples(self) -> int:
        """How many samples there are."""
        return len(self._chosen)

    @property
    def batch_size(self) -> int:
        """Samples per batch."""
        return self._batch_size

    def select(self, positions: Indices) -> IndexedSource:
        """A source of some of these samples, by their position in this one."""
        return IndexedSource(self._table, self._batch_size, self._rows_per_sample, self._specs, self._chosen[positions])

    def batches(self, start: int = 0, stop: int | None = None) -> Iterator[Batch]:
        """Samples ``start`` to ``stop`` in order."""
        end = self.samples if stop is None else min(stop, self.samples)
        for low, high in on_grid(start, end, self._batch_size):
            batch = self._read(self._chosen[low:high])
            yield batch if self._specs is None else check_inputs(batch, self._specs, low)

    def _read(self, samples: Indices) -> Batch:
        each = self._rows_per_sample
        rows = (samples[:, None] * each + np.arange(each)).ravel()
        labels = None
        if self._table.label_count is not None:
            # One label per row where a sample has several rows: its first row's counts.
            per_row = each > 1 and self._table.label_count == self._table.rows
            labels = self._table.labels(samples * each if per_row else samples)
        return Batch(self._table.inputs(rows), labels, len(samples))

    @cached_property
    def fingerprint(self) -> str:
        """Content address of samples, order and batching."""
        chosen = hashlib.sha256(np.ascontiguousarray(self._chosen, dtype=np.int64).tobytes()).hexdigest()
        return digest_of([self._table.fingerprint, self._batch_size, self._rows_per_sample, chosen])
