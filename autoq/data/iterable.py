"""Any iterable of batches or samples: lists, generators, torch DataLoader, tf.data, your own class."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np

from autoq.core.batch import Batch, TensorSpec
from autoq.core.digest import digest_of
from autoq.core.errors import DataError
from autoq.data.check import check_inputs
from autoq.data.items import (
    Item,
    hash_batch,
    in_users_terms,
    iterate,
    read_item,
    stack_items,
    torch_pairs,
    torch_shuffles,
)
from autoq.data.source import input_arrays, no_samples, row_count, take_samples

CACHE_LIMIT = 2 << 30
"""Bytes of samples kept of an iterable that cannot be read twice."""

_COMPARED = 8
_PREFIX_SAMPLES = 256
_PREFIX_BYTES = 64 << 20


class IterableSource:
    """Batches of an iterable, in its order.

    An iterable that can be read only once (a generator), or in another order on a second reading (a shuffling
    loader), is read once and kept in memory, up to `CACHE_LIMIT`.

    Args:
        make: Returns the iterable; called for each reading.
        batch_size: Samples per batch when the iterable gives single samples; its own batches stay as they are.
        rows_per_sample: Consecutive rows that make one sample.
        input_specs: What the model takes: tells samples from batches, and batches are checked against it.
        offset: Samples to skip.
        limit: Samples at most.
        where: Place named in messages.
        cache_limit: Bytes kept at most when samples must be kept.

    Raises:
        DataError: The object cannot be iterated, or gives nothing.
    """

    def __init__(
        self,
        make: Callable[[], Iterable[Any]],
        *,
        batch_size: int = 1,
        rows_per_sample: int = 1,
        input_specs: Sequence[TensorSpec] | None = None,
        offset: int = 0,
        limit: int | None = None,
        where: str | None = None,
        cache_limit: int = CACHE_LIMIT,
    ) -> None:
        self._make = make
        self._batch_size = batch_size
        self._rows_per_sample = rows_per_sample
        self._specs = input_specs
        self._offset = offset
        self._limit = limit
        self._where = where
        self._kept: list[Batch] | None = None
        self._sized = False
        self._settle(cache_limit)

    def _settle(self, cache_limit: int) -> None:
        """Keep the samples when a second reading would not give the same again."""
        items = self._call()
        self._sized = isinstance(items, list | tuple)
        if self._sized:
            if not items:
                raise no_samples()
            return
        if iterate(items, self._where) is items and self._call() is items:
            self._keep(self._raw(items), cache_limit)
            return
        if torch_shuffles(items) or not self._starts_over(items):
            self._keep(self._raw(self._call()), cache_limit)

    def _starts_over(self, items: Iterable[Any]) -> bool:
        """Whether a second reading begins like the first: one batch may be the same by chance, several are not."""
        begun = [hash_batch(batch) for batch in islice(self._raw(items), _COMPARED)]
        if not begun:
            raise no_samples()
        return begun == [hash_batch(batch) for batch in islice(self._raw(self._call()), _COMPARED)]

    def _keep(self, batches: Iterator[Batch], cache_limit: int) -> None:
        kept, size, samples = [], 0, 0
        wanted = None if self._limit is None else self._offset + self._limit
        for batch in batches:
            kept.append(batch)
            samples += batch.samples
            size += sum(a.nbytes for a in input_arrays(batch.inputs).values())
            if size > cache_limit:
                raise DataError(
                    f"the data can be read only once, and more than {cache_limit >> 20} MB would have to be kept",
                    where=self._where,
                    hint="give something that starts over in the same order on each iteration (a list, a DataLoader "
                    "with shuffle=False), a file, or a limit",
                )
            if wanted is not None and samples >= wanted:
                break
        if not kept:
            raise no_samples()
        self._kept = kept

    def _call(self) -> Iterable[Any]:
        with in_users_terms(self._where):
            return self._make()

    @property
    def samples(self) -> int | None:
        """How many there are when all are in memory, else None."""
        if self._kept is None and not self._sized:
            return None
        return self._count

    @cached_property
    def _count(self) -> int:
        return sum(batch.samples for batch in self.batches())

    def batches(self, start: int = 0, stop: int | None = None) -> Iterator[Batch]:
        """Samples ``start`` to ``stop`` in order; earlier ones are read and skipped."""
        low = self._offset + start
        high = None if self._limit is None else self._offset + self._limit
        if stop is not None:
            high = self._offset + stop if high is None else min(high, self._offset + stop)
        position = 0
        if high is not None and low >= high:
            return
        for batch in self._kept if self._kept is not None else self._raw(self._call()):
            begin, end = max(low - position, 0), batch.samples
            if high is not None:
                end = min(end, high - position)
            if begin < end:
                cut = take_samples(batch, np.arange(begin, end))
                first = position + begin - self._offset
                yield cut if self._specs is None else check_inputs(cut, self._specs, first)
            position += batch.samples
            if high is not None and position >= high:
                return

    def _raw(self, items: Iterable[Any]) -> Iterator[Batch]:
        pairs = torch_pairs(items)
        waiting: list[Item] = []
        iterator = iterate(items, self._where)
        number = 0
        structure = ""
        while True:
            with in_users_terms(self._where):
                try:
                    value = next(iterator)
                except StopIteration:
                    break
            place = f"{self._where or 'data'}, item {number}"
            item = read_item(value, self._specs, pairs, place)
            structure = structure or item.structure
            if item.structure != structure:
                raise DataError(
                    f"the data change their structure: the first item is {structure}, this one {item.structure}",
                    where=place,
                    hint="give every batch in the same form",
                )
            number += 1
            if not item.is_sample:
                yield self._batch(item, place)
                continue
            if waiting and not waiting[0].stacks_with(item):
                yield self._batch(stack_items(waiting), place)
                waiting = []
            waiting.append(item)
            if len(waiting) == self._batch_size * self._rows_per_sample:
                yield self._batch(stack_items(waiting), place)
                waiting = []
        if waiting:
            yield self._batch(stack_items(waiting), "the last item")

    def _batch(self, item: Item, place: str) -> Batch:
        rows = row_count(item.inputs)
        if rows == 0 or rows % self._rows_per_sample:
            raise DataError(f"{rows} rows do not make samples of {self._rows_per_sample} rows", where=place)
        samples = rows // self._rows_per_sample
        labels = item.labels
        if isinstance(labels, np.ndarray) and labels.ndim == 0:
            labels = labels.reshape(1)
        if labels is not None and self._rows_per_sample > 1 and len(labels) == rows:
            labels = labels[:: self._rows_per_sample]
        if labels is not None and len(labels) != samples:
            raise DataError(
                f"{len(labels)} labels for {samples} samples",
                where=place,
                hint="a 2-tuple means (inputs, labels); give several inputs as a list or a dict",
            )
        return Batch(item.inputs, labels, samples)

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the samples and the batching; of a stream only the first samples (256, or 64 MB) are read."""
        hashes, samples, size = [], 0, 0
        for batch in self.batches():
            hashes.append(hash_batch(batch))
            samples += batch.samples
            size += sum(a.nbytes for a in input_arrays(batch.inputs).values())
            if self.samples is None and (samples >= _PREFIX_SAMPLES or size >= _PREFIX_BYTES):
                break
        return digest_of([hashes, self.samples, self._rows_per_sample, self._offset, self._limit])
