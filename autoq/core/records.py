"""What one metric keeps of each evaluation sample, so that scores can be paired, extended and resampled."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Records:
    """One record per sample, each a few rows of numbers; samples may differ in their number of rows.

    Attributes:
        values: ``float64 [rows, width]``, the rows of all samples in order.
        offsets: ``int64 [samples + 1]``; sample i owns ``values[offsets[i]:offsets[i + 1]]``.
    """

    values: NDArray[np.float64]
    offsets: NDArray[np.int64]

    @classmethod
    def of_rows(cls, rows: NDArray[np.generic]) -> Records:
        """One row per sample, from an array ``[samples]`` or ``[samples, width]``."""
        values = np.asarray(rows, dtype=np.float64)
        values = values.reshape(len(values), math.prod(values.shape[1:]))
        return cls(values, np.arange(len(values) + 1, dtype=np.int64))

    @classmethod
    def of_ragged(cls, samples: Sequence[NDArray[np.generic]], width: int) -> Records:
        """Each sample its own array ``[rows_i, width]``, possibly without rows."""
        parts = [np.asarray(s, dtype=np.float64).reshape(-1, width) for s in samples]
        values = np.concatenate(parts) if parts else np.empty((0, width))
        return cls(values, np.cumsum([0, *(len(p) for p in parts)], dtype=np.int64))

    @classmethod
    def concatenate(cls, parts: Sequence[Records]) -> Records:
        """The samples of all parts, in order."""
        if not parts:
            return cls(np.empty((0, 1)), np.zeros(1, dtype=np.int64))
        shifts = np.cumsum([0, *(p.offsets[-1] for p in parts[:-1])])
        offsets = [np.zeros(1, dtype=np.int64), *(p.offsets[1:] + s for p, s in zip(parts, shifts, strict=True))]
        return cls(np.concatenate([p.values for p in parts]), np.concatenate(offsets))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, sample: int) -> NDArray[np.float64]:
        return self.values[self.offsets[sample] : self.offsets[sample + 1]]

    def take(self, samples: NDArray[np.integer] | Sequence[int]) -> Records:
        """The chosen samples, repeats allowed (bootstrap)."""
        chosen = np.asarray(samples, dtype=np.int64)
        if self.is_flat:
            return Records(self.values[chosen], np.arange(len(chosen) + 1, dtype=np.int64))
        return Records.of_ragged([self[int(i)] for i in chosen], self.values.shape[1])

    def first(self, count: int) -> Records:
        """The first `count` samples."""
        return Records(self.values[: self.offsets[count]], self.offsets[: count + 1])

    @property
    def is_flat(self) -> bool:
        """True when every sample has exactly one row, so that ``values[i]`` is sample i."""
        return len(self.values) == len(self) and bool((np.diff(self.offsets) == 1).all())

    def to_bytes(self) -> bytes:
        """A compressed npz archive; the inverse of `from_bytes`."""
        buffer = io.BytesIO()
        np.savez_compressed(buffer, values=self.values, offsets=self.offsets)
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> Records:
        """Rebuild from `to_bytes`; never unpickles."""
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            return cls(archive["values"], archive["offsets"])
