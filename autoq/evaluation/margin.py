"""Which samples a small error flips first: those that fp32 itself is least sure of."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from autoq.core.batch import Array, Inputs, Outputs
from autoq.evaluation.metrics.base import Floats


class Margins:
    """Collects, batch by batch, how far the largest output of each sample is above the second.

    Of a float output ``[samples, classes]``; of ``[samples, positions, classes]`` the smallest over the positions.

    Args:
        predict: fp32.
    """

    def __init__(self, predict: Callable[[Inputs], Outputs]) -> None:
        self._predict = predict
        self._parts: list[Floats] = []
        self._known = True

    def __call__(self, inputs: Inputs) -> Outputs:
        """Run one batch."""
        outputs = self._predict(inputs)
        scored = [array for array in outputs.values() if array.dtype.kind == "f" and array.ndim in (2, 3)]
        if len(scored) == 1 and scored[0].shape[-1] >= 2 and scored[0].size:
            self._parts.append(_gaps(scored[0]))
        else:
            self._known = False
        return outputs

    def of(self, samples: int) -> Floats | None:
        """``[samples]`` margins; None where outputs are no scores of classes, one row a sample."""
        if not self._known or sum(len(part) for part in self._parts) != samples:
            return None
        return np.nan_to_num(np.concatenate(self._parts), nan=0.0)


def hard_first(margins: Floats) -> tuple[NDArray[np.int64], int]:
    """An order of samples: the hardest few, the rest as they come; and how many the few are.

    Four times the root of their number, and a quarter at most: enough to meet most of what a small error flips, few
    enough to cost little where nothing flips.
    """
    count = len(margins)
    hard = min(count // 4, round(4 * math.sqrt(count)))
    chosen = np.argsort(margins, kind="stable")[:hard]
    rest = np.setdiff1d(np.arange(count), chosen)
    return np.concatenate([chosen, rest]).astype(np.int64), hard


def _gaps(scores: Array) -> Floats:
    top = np.partition(scores.astype(np.float64), -2, axis=-1)[..., -2:]
    gaps = top[..., 1] - top[..., 0]
    return gaps.min(axis=1) if gaps.ndim == 2 else gaps
