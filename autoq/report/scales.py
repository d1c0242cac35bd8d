"""The axes of accuracy against speed: what they show, how far they reach, and where they have ticks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from autoq.core.criterion import Criterion, Tolerance
from autoq.core.objective import Quantity

_LINEAR_UP_TO = 5.0
"""Losses beyond so many limits are drawn on a scale that is linear near the limit and logarithmic beyond."""


def axis_title(quantity: Quantity) -> str:
    """What speed or size is shown as, and which direction is better."""
    what, better = ("size", "smaller") if quantity is Quantity.SIZE else ("latency", "faster")
    return f"{what} / fp32 (left is {better})"


def loss_title(criterion: Criterion) -> str:
    """Name and unit of the loss."""
    unit = "%" if criterion.tolerance is Tolerance.RELATIVE else "absolute"
    return f"loss of {criterion.metric} ({unit})"


def in_unit(criterion: Criterion, loss: float) -> float:
    """A loss as it is drawn: in percent where the criterion is relative."""
    return 100 * loss if criterion.tolerance is Tolerance.RELATIVE else loss


def x_scale(points: Sequence[Mapping[str, Any]]) -> alt.Scale:
    """From zero to a little beyond the last mark."""
    return alt.Scale(domain=[0, reach(points)], nice=False)


def reach(points: Sequence[Mapping[str, Any]]) -> float:
    """Where the axis of speed or size ends."""
    return 1.12 * max(1.0, *(float(p["x"]) for p in points))


def _span(points: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    """What the axis must show: all values, and the intervals of what was scored in full."""
    full = [p for p in points if p["full"]]
    lows, highs = [p["low"] for p in full], [p["high"] for p in full]
    return min(0.0, *(p["y"] for p in points), *lows), max(0.0, *(p["y"] for p in points), *highs)


def _unit(points: Sequence[Mapping[str, Any]], criterion: Criterion) -> float:
    limit = in_unit(criterion, criterion.limit)
    return limit if limit > 0 else (_span(points)[1] / 50 or 1.0)


def _wide(points: Sequence[Mapping[str, Any]], criterion: Criterion) -> bool:
    return bool(max(p["y"] for p in points) > _LINEAR_UP_TO * _unit(points, criterion))


def y_scale(points: Sequence[Mapping[str, Any]], criterion: Criterion) -> alt.Scale:
    """Linear; where losses go far beyond the limit, linear near it and logarithmic beyond."""
    unit = _unit(points, criterion)
    low, high = _span(points)
    high = max(high, 1.4 * unit)
    if _wide(points, criterion):
        return alt.Scale(type="symlog", constant=unit, domain=[min(1.1 * low, -0.4 * unit), 1.25 * high], nice=False)
    pad = 0.06 * (high - low)
    return alt.Scale(domain=[low - pad, high + pad], nice=False)


def y_axis(points: Sequence[Mapping[str, Any]], criterion: Criterion) -> alt.Axis:
    """Ticks at round numbers of limits where the scale is not linear."""
    if not _wide(points, criterion):
        return alt.Axis(tickCount=6)
    unit = _unit(points, criterion)
    low, high = _span(points)
    steps = [0.0, 1.0] + [m * 10.0**e for e in range(8) for m in (3, 10)]
    values = [s * unit for s in steps if s * unit <= 1.2 * high]
    values += [-s * unit for s in steps[1:] if -s * unit >= 1.1 * low]
    return alt.Axis(values=sorted(values), format="~r")
