"""From how well ops agree to the first that differs by more than quantization explains."""

from __future__ import annotations

import math
from collections.abc import Sequence

from autoq.core.deployed import OpAgreement

ENOUGH = 40.0
"""Agreement in dB beyond which differences are those of rounding, however small the noise of quantization is."""


def limit_of(noise: float) -> float:
    """Agreement below which two computations differ by more than quantization itself explains.

    Two roundings to the same grid that have nothing to do with each other differ by twice the power of one.
    """
    return min(noise - 10 * math.log10(2), ENOUGH)


def first_diverging(ops: Sequence[OpAgreement], noise: float) -> OpAgreement | None:
    """The first op, in execution order, that differs by more than quantization itself explains."""
    return next((op for op in ops if op.sqnr < limit_of(noise)), None)
