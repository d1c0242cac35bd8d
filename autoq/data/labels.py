"""Labels: from cells and texts to numbers, and from single labels to those of a batch."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from autoq.core.batch import Array

_WHOLE = re.compile(r"-?(?:0|[1-9][0-9]*)", re.ASCII)
_NUMBER = re.compile(r"[-+]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?", re.ASCII)


def pack_labels(values: Sequence[Any]) -> Any:
    """Labels of several samples: an array where all are numbers of one shape, else a list."""
    if all(isinstance(v, str) for v in values):
        return [str(v) for v in values]
    arrays = [np.asarray(v) if not isinstance(v, str) else v for v in values]
    if (
        all(isinstance(a, np.ndarray) and a.dtype.kind in "fiub" for a in arrays)
        and len({np.shape(a) for a in arrays}) == 1
    ):
        return np.stack(cast("list[Array]", arrays))
    return list(values)


def typed_labels(texts: Sequence[str]) -> list[Any]:
    """What a column of texts holds: whole numbers, numbers, JSON lists of numbers, or else the texts as they are.

    One cell decides for all, and a text that a number would not give back, such as ``007``, is a text: it may be the
    reference of a text metric.
    """
    if all(_WHOLE.fullmatch(text.strip()) for text in texts):
        return [int(text) for text in texts]
    if all(_NUMBER.fullmatch(text.strip()) for text in texts):
        return [float(text) for text in texts]
    if all(text.lstrip().startswith("[") for text in texts):
        try:
            return [label_value(json.loads(text)) for text in texts]
        except ValueError:
            return list(texts)
    return list(texts)


def label_value(value: Any) -> Any:
    """A label as a number, a string, or an array of numbers."""
    if isinstance(value, list):
        try:
            array = np.asarray(value)
        except ValueError:
            return value
        return array if array.dtype.kind in "fiub" else value
    return value
