"""Numbers that JSON lacks."""

from __future__ import annotations

import math


def to_plain(value: float) -> float | str:
    """The number itself; ``"inf"``, ``"-inf"`` or ``"nan"`` where JSON has none. `float` is the inverse.

    A loss is infinite where a relative criterion meets a baseline of zero, an interval where there are too few
    samples to bound it.
    """
    return value if math.isfinite(value) else str(float(value))
