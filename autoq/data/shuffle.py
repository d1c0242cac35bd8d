"""Samples in a random order, so that the first so many of them are a fair sample of all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np

from autoq.core.batch import Batch
from autoq.core.digest import digest_of
from autoq.data.indexed import IndexedSource
from autoq.data.source import DataSource, Indices, can_join, input_arrays, join, on_grid, take_samples

MOST_BYTES = 256 * 2**20
"""A stream larger than this is not held in memory to shuffle it."""


class Shuffled(DataSource, Protocol):
    """Samples that can be put in another order."""

    def select(self, positions: Indices) -> Shuffled:
        """These samples in another order, or some of them, by their position in this one."""


def shuffled(source: DataSource, seed: int, most_bytes: int = MOST_BYTES) -> Shuffled | None:
    """The samples in an order drawn by `seed`.

    Samples that can be read by number are read in that order. Those of a stream are kept in memory, which takes as
    much as their arrays.

    Args:
        source: The samples.
        seed: Equal seeds give equal orders.
        most_bytes: Largest stream that is kept.

    Returns:
        The shuffled samples; None for a stream that is larger, or whose samples differ in shape.
    """
    generator = np.random.default_rng([seed, 1])
    if isinstance(source, IndexedSource):
        return source.select(generator.permutation(source.samples))
    kept: list[Batch] = []
    size = 0
    for batch in source.batches():
        size += sum(array.nbytes for array in input_arrays(batch.inputs).values())
        if size > most_bytes or (kept and not can_join(kept[0], batch)):
            return None
        kept.append(batch)
    if not kept:
        return None
    whole = join(kept)
    return _Held(whole, generator.permutation(whole.samples), kept[0].samples, source.fingerprint)


class _Held:
    """Samples in memory, in the order of `chosen`."""

    def __init__(self, whole: Batch, chosen: Indices, batch_size: int, origin: str) -> None:
        self._whole = whole
        self._chosen = chosen
        self._batch_size = batch_size
        self._origin = origin

    def select(self, positions: Indices) -> _Held:
        """These samples in another order, or some of them, by their position in this one."""
        return _Held(self._whole, self._chosen[positions], self._batch_size, self._origin)

    @property
    def samples(self) -> int:
        """How many samples there are."""
        return len(self._chosen)

    def batches(self, start: int = 0, stop: int | None = None) -> Iterator[Batch]:
        """Samples ``start`` to ``stop`` in order."""
        end = self.samples if stop is None else min(stop, self.samples)
        for low, high in on_grid(start, end, self._batch_size):
            yield take_samples(self._whole, self._chosen[low:high])

    @property
    def fingerprint(self) -> str:
        """Content address of samples, order and batching."""
        return digest_of([self._origin, "shuffled", self._batch_size, self._chosen.tolist()])
