"""A batch of samples on its way into a model, and what comes out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
"""Any NumPy array."""

Inputs = Array | Mapping[str, Array] | Sequence[Array]
"""One array, arrays by input name, or a list of positional arrays; the first axis is the batch."""

Outputs = Mapping[str, Array]
"""Arrays by output name, in the model's order."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Consecutive samples.

    Attributes:
        inputs: What the model takes.
        labels: One label per sample (an array, or a list where samples differ in shape), or None.
        samples: Number of samples (not rows: a sample may own several input rows).
    """

    inputs: Inputs
    labels: Any | None
    samples: int


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One model input or output.

    Attributes:
        name: Its name.
        dtype: NumPy dtype name, e.g. ``float32``.
        shape: Sizes; a string or None for an axis of any size.
    """

    name: str
    dtype: str
    shape: tuple[int | str | None, ...] | None

    def accepts(self, array: Array) -> bool:
        """Whether the array's dtype and shape fit."""
        if np.dtype(self.dtype) != array.dtype:
            return False
        if self.shape is None:
            return True
        return len(self.shape) == array.ndim and all(
            not isinstance(want, int) or want == have for want, have in zip(self.shape, array.shape, strict=True)
        )
