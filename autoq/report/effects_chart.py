"""What quantizing each op does, along the network."""

from __future__ import annotations

import math

import altair as alt

from autoq.report.drawing import ACCENT, MUTED, svg
from autoq.report.sensitivity import NAMES, Sensitivities, UnitEffect
from autoq.report.text import number

_MOST_TICKS = 14


def effects_chart(found: Sensitivities, width: int) -> str | None:
    """A bar for each op in execution order; ops that stay float are grey.

    The scale is that of the square root: squared errors spread over orders of magnitude, and small ones stay visible.

    Args:
        found: What was measured.
        width: Pixels of the plot; the picture scales.

    Returns:
        An SVG element, or None when fewer than two ops were measured.
    """
    shown = [e for e in found.measured if e.value is not None and math.isfinite(e.value)]
    rows = [
        {
            "x": effect.place - 0.4,
            "x2": effect.place + 0.4,
            "y": max(effect.value or 0.0, 0.0),
            "floating": effect.floating,
            "about": _about(found, effect),
        }
        for effect in shown
    ]
    if len(rows) < 2:
        return None
    last = len(found.effects)
    step = max(1, math.ceil(last / (6 if width < 500 else _MOST_TICKS)))
    ticks = sorted({1, *range(step, last + 1, step)})
    x = alt.X(
        "x:Q",
        title="op, in execution order",
        scale=alt.Scale(domain=[0.4, last + 0.6], nice=False),
        axis=alt.Axis(values=ticks, format="d", grid=False),
    )
    highest = max(effect.value or 0.0 for effect in shown)
    scale = alt.Scale(type="sqrt", domain=[0, 1.05 * highest if highest > 0 else 1.0], nice=False)
    bars = (
        alt.Chart(alt.Data(values=rows))
        .mark_bar()
        .encode(
            x=x,
            x2="x2:Q",
            y=alt.Y("y:Q", title=NAMES[found.need], scale=scale, axis=alt.Axis(tickCount=5, format="~r")),
            y2=alt.datum(0),
            color=alt.Color("floating:N", scale=alt.Scale(domain=[False, True], range=[ACCENT, MUTED]), legend=None),
            description="about:N",
        )
    )
    return svg(bars, width, 220)


def _about(found: Sensitivities, effect: UnitEffect) -> str:
    parts = [f"{effect.place}. {effect.unit} ({effect.type})", f"{NAMES[found.need]} {number(effect.value)}"]
    if effect.saved is not None:
        parts.append(f"saves {number(1000 * effect.saved)} ms")
    if effect.floating:
        parts.append("stays float")
    return "; ".join(parts)
