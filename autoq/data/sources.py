"""Open data by their description in the job, or as Python hands them over."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from autoq.config.schema import Dataloader
from autoq.core.batch import Inputs, TensorSpec
from autoq.core.errors import DataError
from autoq.data.arrays import ArrayTable
from autoq.data.images import ImageTable
from autoq.data.indexed import IndexedSource, RowTable
from autoq.data.items import read_labels, to_array
from autoq.data.iterable import IterableSource
from autoq.data.npz import open_npz
from autoq.data.parquet import ParquetTable
from autoq.data.python import python_data
from autoq.data.source import DataSource as DataSource
from autoq.data.split import limit_samples
from autoq.data.split import split as split
from autoq.data.table import CsvTable, JsonlTable


def open_dataloader(spec: Dataloader, base: Path, input_specs: Sequence[TensorSpec] | None = None) -> DataSource:
    """The samples a job describes.

    Args:
        spec: The job's dataloader section.
        base: Folder that relative paths start from.
        input_specs: What the model takes; every batch is then checked, cast and named by `check_inputs`.

    Raises:
        DataError: Files are missing, damaged, empty, or do not fit together.
        ConfigError: A function or preprocessing makes no sense.
        MissingDependencyError: The format needs a package that is not installed.
    """
    if spec.dataset.python is not None:
        make = python_data(spec.dataset.python, base)
        return open_data(
            make(),
            batch_size=spec.batch_size,
            rows_per_sample=spec.rows_per_sample,
            input_specs=input_specs,
            offset=spec.offset,
            limit=spec.limit,
            where=spec.dataset.python.function,
            make=make,
        )
    source = IndexedSource(_table(spec, base, input_specs), spec.batch_size, spec.rows_per_sample, input_specs)
    return limit_samples(source, spec.offset, spec.limit)


def _table(spec: Dataloader, base: Path, input_specs: Sequence[TensorSpec] | None) -> RowTable:
    dataset = spec.dataset
    if dataset.npz is not None:
        return open_npz(dataset.npz, base)
    if dataset.images is not None:
        return ImageTable(dataset.images, base)
    if dataset.jsonl is not None:
        return JsonlTable(dataset.jsonl, base, input_specs)
    if dataset.csv is not None:
        return CsvTable(dataset.csv, base, input_specs)
    if dataset.parquet is not None:
        return ParquetTable(dataset.parquet, base, input_specs)
    raise DataError("the dataset names no kind of source", hint="name one of images, npz, jsonl, csv, parquet, python")


def open_data(
    data: Any,
    *,
    batch_size: int = 1,
    rows_per_sample: int = 1,
    input_specs: Sequence[TensorSpec] | None = None,
    offset: int = 0,
    limit: int | None = None,
    where: str | None = None,
    make: Callable[[], Any] | None = None,
) -> DataSource:
    """Samples handed over as Python objects.

    Args:
        data: All samples in one array or tensor, a dict of them by input name, or a 2-tuple of one of these and
            labels; or an iterable of batches or samples (a list, a generator, a torch DataLoader, a
            tf.data.Dataset), each an array, a dict by name, a list of positional arrays, or a 2-tuple (inputs, label).
        batch_size: Samples per batch, where the data are not batched already.
        rows_per_sample: Consecutive rows that make one sample.
        input_specs: What the model takes; every batch is then checked, cast and named by `check_inputs`.
        offset: Samples to skip.
        limit: Samples at most.
        where: Place named in messages.
        make: Gives data that can be read only once (a generator) anew for each reading.

    Raises:
        DataError: The object cannot be read as data.
    """
    if hasattr(data, "batches") and hasattr(data, "fingerprint"):
        return limit_samples(data, offset, limit)
    table = _whole_arrays(data)
    if table is not None:
        return limit_samples(IndexedSource(table, batch_size, rows_per_sample, input_specs), offset, limit)
    again = make if make is not None and isinstance(data, Iterator) else lambda: data
    return IterableSource(
        again,
        batch_size=batch_size,
        rows_per_sample=rows_per_sample,
        input_specs=input_specs,
        offset=offset,
        limit=limit,
        where=where,
    )


def _whole_arrays(data: Any) -> ArrayTable | None:
    """A table when `data` are arrays of all samples rather than an iterable."""
    inputs, labels = data if isinstance(data, tuple) and len(data) == 2 else (data, None)
    if _is_array(inputs):
        arrays: Inputs = to_array(inputs, "data")
    elif isinstance(inputs, Mapping) and inputs and all(_is_array(a) for a in inputs.values()):
        arrays = {str(name): to_array(array, f"input '{name}'") for name, array in inputs.items()}
    else:
        return None
    return ArrayTable(arrays, None if labels is None else read_labels(labels, "labels"))


def _is_array(value: object) -> bool:
    return isinstance(value, np.ndarray) or (hasattr(value, "detach") and hasattr(value, "numpy"))
