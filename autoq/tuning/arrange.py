"""The order of the tune split: hardest samples first, found in the pass that scores fp32, and kept by content."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from autoq.core.adaptor import Candidate
from autoq.core.records import Records
from autoq.core.task import Split
from autoq.evaluation.margin import hard_first
from autoq.store.artifacts import write_bytes_atomic
from autoq.tuning.scorer import DataScorer, OnProgress, Scorer

ARRANGEMENT = 1
"""Version of the way samples are ordered; raise it whenever the same margins would give another order."""


@dataclass(frozen=True, eq=False)
class Arrangement:
    """An order of the tune split.

    Attributes:
        order: ``int64 [samples]``, positions in the order before.
        hard: How many of the first were chosen for being hard; the others come at random.
    """

    order: NDArray[np.int64]
    hard: int


class Arranger:
    """Puts the tune split in order before anything of it is scored.

    Args:
        scorer: Whose split it is.
        file: Where the order is kept.
        fp32: Gives the model that tells which samples are hard.
    """

    def __init__(self, scorer: Scorer, file: Path, fp32: Callable[[], Candidate]) -> None:
        self._scorer = scorer
        self._file = file
        self._fp32 = fp32
        self._wanted = isinstance(scorer, DataScorer) and scorer.decides_early
        self.hard = 0

    def arrange(self, progress: OnProgress) -> Mapping[str, Records] | None:
        """Once: read the order, or find it by scoring fp32; then its records, in the new order, are returned."""
        scorer = self._scorer
        if not self._wanted or not isinstance(scorer, DataScorer):
            return None
        known = self._read(scorer.samples[Split.TUNE])
        records: Mapping[str, Records] | None = None
        if known is None:
            records, margins = scorer.score_with_margins(self._fp32(), progress)
            as_it_was = np.arange(scorer.samples[Split.TUNE]), 0
            known = Arrangement(*(hard_first(margins) if margins is not None else as_it_was))
            self._write(known)
            records = {name: r.take(known.order) for name, r in records.items()}
        self._wanted = False  # not before: where it was abandoned on the way, whatever is scored next begins anew
        self.hard = known.hard
        if known.hard:
            scorer.reorder(known.order)
        return records

    def _read(self, samples: int) -> Arrangement | None:
        with contextlib.suppress(OSError, ValueError, KeyError):  # missing or damaged: found again
            with np.load(self._file, allow_pickle=False) as data:
                order, hard = data["order"], int(data["hard"])
            if np.array_equal(np.sort(order), np.arange(samples)):
                return Arrangement(order, hard)
        return None

    def _write(self, found: Arrangement) -> None:
        buffer = io.BytesIO()
        np.savez(buffer, order=found.order, hard=found.hard)
        write_bytes_atomic(self._file, buffer.getvalue())
