"""Error rates of recognized text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from autoq.core.batch import Batch
from autoq.core.errors import DataError, EvaluationError
from autoq.core.records import Records
from autoq.evaluation.metrics.base import SetMetric, check_count, finite, label_sequence


def edit_distance(first: Sequence[object], second: Sequence[object]) -> int:
    """Levenshtein distance: the least number of insertions, deletions and substitutions (Wagner and Fischer 1974)."""
    if not first or not second:
        return max(len(first), len(second))
    codes: dict[object, int] = {}
    left = np.array([codes.setdefault(item, len(codes)) for item in first])
    right = np.array([codes.setdefault(item, len(codes)) for item in second])
    steps = np.arange(len(right) + 1)
    row = steps.copy()
    for symbol in left:
        change = np.empty_like(row)
        change[0] = row[0] + 1
        change[1:] = np.minimum(row[1:] + 1, row[:-1] + (right != symbol))
        # A run of insertions adds one per step: subtract the steps, take the running minimum, add them again.
        row = np.minimum.accumulate(change - steps) + steps
    return int(row[-1])


@dataclass(frozen=True)
class TextErrorRate(SetMetric):
    """Character or word error rate: edits of all samples / length of all references.

    Predictions and labels are strings, one per sample.

    Attributes:
        unit: ``character`` or ``word`` (split at white space).
        ignore_case: Compare without case.
    """

    higher_is_better: bool = False
    unit: Literal["character", "word"] = "character"
    ignore_case: bool = False

    def records(self, predictions: Any, batch: Batch) -> Records:
        """One row: edits, length of the reference."""
        labels = [self._text(label) for label in label_sequence(batch, self.name)]
        texts = list(predictions) if isinstance(predictions, list | tuple | np.ndarray) else None
        if texts is None or not all(isinstance(t, str) for t in texts):
            raise EvaluationError(
                f"metric '{self.name}' takes one string per sample, not {type(predictions).__name__}",
                hint="add ctc_greedy, or a function that decodes, to postprocess",
            )
        check_count(len(texts), batch, self.name)
        rows = [self._row(text, label) for text, label in zip(texts, labels, strict=True)]
        return Records.of_rows(np.array(rows, dtype=np.float64).reshape(-1, 2))

    def _text(self, label: object) -> str:
        # 1.5 may have been written 1.50, a whole number is its own text.
        if not isinstance(label, str | int | np.integer):
            raise DataError(
                f"metric '{self.name}' takes one text per sample as label, not {label!r:.40}",
                hint="write the labels as text, e.g. in quotes in a .jsonl file",
            )
        return str(label)

    def _row(self, text: str, label: str) -> tuple[int, int]:
        if self.ignore_case:
            text, label = text.casefold(), label.casefold()
        reference: Sequence[object] = label.split() if self.unit == "word" else label
        found: Sequence[object] = text.split() if self.unit == "word" else text
        return edit_distance(found, reference), len(reference)

    def score(self, records: Records, reference: Records) -> float:
        """Edits per reference symbol; may exceed 1."""
        del reference
        edits, length = records.values.sum(axis=0) if len(records) else (0.0, 0.0)
        if length == 0:
            raise DataError(f"metric '{self.name}' is undefined: every reference text is empty")
        return finite(float(edits / length), self.name)
