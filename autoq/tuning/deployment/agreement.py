"""From how well ops agree to the first that differs by more than quantization explains."""

from __future__ import annotations

import math
from collections.abc import Sequence

from autoq.core.deployed import OpAgreement

ENOUGH = 40.0
"""Agreement in dB beyond which differences are those of rounding, however small the noise of quantization is."""


def limit_of(noise: float, *, own_grids: bool = False) -> float:
    """Agreement below which two computations differ by more than quantization itself explains.

    Two roundings to the same grid that have nothing to do with each other differ by twice the power of one. Where the
    second has grids of its own, it may err by some more: by up to three times that power, four times together.

    Args:
        noise: What quantization changes, as signal to difference in dB.
        own_grids: Whether the second computation has grids of its own.
    """
    return min(noise - 10 * math.log10(4 if own_grids else 2), ENOUGH)


def first_diverging(ops: Sequence[OpAgreement], noise: float) -> OpAgreement | None:
    """The first op, in execution order, that differs by more than quantization itself explains."""
    return next((op for op in ops if op.sqnr < limit_of(noise)), None)
