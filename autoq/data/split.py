"""Tune and held-out samples: disjoint, drawn at random by seed, each in the source's order."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cached_property

import numpy as np

from autoq.core.batch import Batch
from autoq.core.digest import digest_of
from autoq.core.errors import DataError
from autoq.data.indexed import IndexedSource
from autoq.data.source import DataSource, Indices, can_join, count_samples, join, take_samples


def split(source: DataSource, held_out: float, seed: int) -> tuple[DataSource, DataSource]:
    """Divide samples into those the search sees and those kept for the verdict.

    Args:
        source: The samples; a stream is read once to count them.
        held_out: Share to keep, above 0 and below 1; rounded to whole samples, at least one on each side.
        seed: Equal seeds give equal splits.

    Returns:
        Tune and held-out samples.

    Raises:
        DataError: Fewer than two samples, or a share that is no share.
    """
    if not 0 < held_out < 1:
        raise DataError(f"the held-out share lies above 0 and below 1, not at {held_out}")
    count = count_samples(source)
    if count < 2:
        raise DataError(
            "one sample cannot be divided into tune and held-out samples", hint="set held_out: 0, or give more samples"
        )
    kept = min(max(round(count * held_out), 1), count - 1)
    order = np.random.default_rng(seed).permutation(count)
    return _subset(source, np.sort(order[kept:])), _subset(source, np.sort(order[:kept]))


def limit_samples(source: DataSource, offset: int, limit: int | None) -> DataSource:
    """Samples ``offset`` to ``offset + limit`` of a source, fewer when it ends before.

    Raises:
        DataError: None are left.
    """
    count = count_samples(source)
    if offset >= count:
        raise DataError(f"offset {offset} skips all of the {count} samples", hint="choose a smaller offset")
    end = count if limit is None else min(count, offset + limit)
    return source if (offset, end) == (0, count) else _subset(source, np.arange(offset, end))


def _subset(source: DataSource, positions: Indices) -> DataSource:
    if isinstance(source, IndexedSource):
        return source.select(positions)
    return SubsetSource(source, positions)


class SubsetSource:
    """Some samples of a source that can only be read in order, in batches of its size.

    Args:
        source: Where samples come from.
        positions: Sample numbers to use, ascending.
    """

    def __init__(self, source: DataSource, positions: Indices) -> None:
        self._source = source
        self._positions = positions

    @property
    def samples(self) -> int:
        """How many samples there are."""
        return len(self._positions)

    def batches(self, start: int = 0, stop: int | None = None) -> Iterator[Batch]:
        """Samples ``start`` to ``stop`` in order. The source is read from its beginning."""
        end = self.samples if stop is None else min(stop, self.samples)
        position = 0
        for batch in self._regrouped(int(self._positions[end - 1]) + 1 if end > start else 0):
            low, high = max(start - position, 0), min(batch.samples, end - position)
            if low < high:
                yield take_samples(batch, np.arange(low, high))
            position += batch.samples
            if position >= end:
                return

    def _regrouped(self, stop: int) -> Iterator[Batch]:
        """Chosen samples in batches of the source's first batch size; smaller where shapes change."""
        if stop == 0:
            return
        waiting: list[Batch] = []
        size, position = 0, 0
        # The last group must not be cut short by `stop`, or the grid would depend on it: read on until it is full.
        for batch in self._source.batches():
            size = size or batch.samples
            inside = self._positions[(self._positions >= position) & (self._positions < position + batch.samples)]
            chosen = inside - position
            while len(chosen):
                piece = take_samples(batch, chosen[: size - sum(b.samples for b in waiting)])
                if waiting and not can_join(waiting[0], piece):
                    yield join(waiting)
                    waiting = []
                waiting.append(piece)
                chosen = chosen[piece.samples :]
                if sum(b.samples for b in waiting) == size:
                    yield join(waiting)
                    waiting = []
            position += batch.samples
            if position >= stop and not waiting:
                return
        if waiting:
            yield join(waiting)

    @cached_property
    def fingerprint(self) -> str:
        """Content address of samples, order and batching."""
        chosen = hashlib.sha256(np.ascontiguousarray(self._positions, dtype=np.int64).tobytes()).hexdigest()
        return digest_of([self._source.fingerprint, chosen])
