"""How far quantized outputs lie from float ones, summed up as they stream by."""

from __future__ import annotations

import math
from collections.abc import Mapping


class OutputErrors:
    """Relative squared error by op: ``Σ‖y − ŷ‖² / Σ‖y‖²`` over everything added. Only two sums per op are kept."""

    def __init__(self) -> None:
        self._sums: dict[str, tuple[float, float]] = {}

    def add(self, op_id: str, difference: float, energy: float) -> None:
        """Take in one output.

        Args:
            op_id: The op that made it.
            difference: ``‖y − ŷ‖²``: float output against quantized output.
            energy: ``‖y‖²``.
        """
        before = self._sums.get(op_id, (0.0, 0.0))
        self._sums[op_id] = before[0] + float(difference), before[1] + float(energy)

    def relative(self) -> Mapping[str, float]:
        """The errors by op id; without ops whose output was zero throughout, or not finite."""
        return {
            op_id: difference / energy
            for op_id, (difference, energy) in self._sums.items()
            if energy > 0 and math.isfinite(difference) and math.isfinite(energy)
        }
