"""The Pareto front in reports: a picture of the first two quantities, and a table of all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import altair as alt

from autoq.core.objective import Quantity
from autoq.report.document import ReportDocument
from autoq.report.drawing import ACCENT, CARD, GOOD, INK, MUTED, svg
from autoq.report.text import fixed, loss_phrase, loss_value
from autoq.tuning.front import FrontPoint

_BETTER = {
    Quantity.LATENCY: "faster",
    Quantity.THROUGHPUT: "faster",
    Quantity.SIZE: "smaller",
    Quantity.MEMORY: "less",
}


@dataclass(frozen=True)
class FrontRow:
    """One plan of the front.

    Attributes:
        number: Of the trial.
        what: What the strategy said of it.
        ratios: Each quantity relative to fp32.
        losses: Each metric's loss.
        chosen: Whether it is handed over.
    """

    number: int
    what: str
    ratios: tuple[str, ...]
    losses: tuple[str, ...]
    chosen: bool


def front_quantities(document: ReportDocument) -> tuple[Quantity, ...]:
    """What the front compares; empty where there is no front to show."""
    return tuple(q for q, _ in document.front[0].ratios) if document.front else ()


def front_rows(document: ReportDocument) -> list[FrontRow]:
    """The plans of the front, best in the first quantity first."""
    trials = {t.number: t for t in document.trials}
    rows: list[FrontRow] = []
    for point in document.front:
        trial = trials[point.number]
        losses = (loss_value(c, s.loss.value) for c, s in zip(document.criteria, trial.scores, strict=False))
        ratios = tuple(fixed(ratio, 3) for _, ratio in point.ratios)
        note = trial.proposal.note or f"{len(trial.plan)} ops quantized"
        rows.append(FrontRow(point.number, note, ratios, tuple(losses), _is_chosen(document, point)))
    return rows


def front_chart(document: ReportDocument, width: int) -> str | None:
    """The front over its first two quantities, fp32 in the corner.

    Args:
        document: The report.
        width: Pixels of the plot; the picture scales.

    Returns:
        An SVG element, or None when there are fewer than two quantities or no plans.
    """
    quantities = front_quantities(document)
    if len(quantities) < 2:
        return None
    first, second = quantities[:2]
    points = [_mark(document, point) for point in document.front]
    marks = [*points, {"x": 1.0, "y": 1.0, "kind": "fp32", "about": "fp32"}]
    reach = [1.1 * max(float(m[axis]) for m in marks) for axis in ("x", "y")]
    x, y = (
        axis(
            f"{name}:Q",
            title=f"{quantity} / fp32 ({side} is {_BETTER[quantity]})",
            scale=alt.Scale(domain=[0, end], nice=False),
            axis=alt.Axis(tickCount=5, grid=False),
        )
        for axis, name, quantity, side, end in (
            (alt.X, "x", first, "left", reach[0]),
            (alt.Y, "y", second, "lower", reach[1]),
        )
    )
    kinds = {"chosen": ACCENT, "front": GOOD, "fp32": INK}
    shapes = {"chosen": "circle", "front": "circle", "fp32": "diamond"}
    # With more than two quantities, what is on the front may be beaten in the two that are drawn.
    line = sorted(({"x": p["x"], "y": p["y"]} for p in points), key=lambda p: (p["x"], p["y"]))
    layers: list[Any] = [
        alt.Chart(alt.Data(values=[{"x": 1.0}])).mark_rule(color=MUTED, strokeDash=[2, 3]).encode(x=x),
        alt.Chart(alt.Data(values=[{"y": 1.0}])).mark_rule(color=MUTED, strokeDash=[2, 3]).encode(y=y),
    ]
    if len(quantities) == 2:
        layers.append(
            alt.Chart(alt.Data(values=line))
            .mark_line(interpolate="step-after", color=ACCENT, strokeWidth=2, opacity=0.55, aria=False)
            .encode(x=x, y=y, order="x:Q")
        )
    layers.append(
        alt.Chart(alt.Data(values=marks))
        .mark_point(size=110, strokeWidth=1.5, stroke=CARD, opacity=1)
        .encode(
            x=x,
            y=y,
            fill=alt.Fill("kind:N", scale=alt.Scale(domain=[*kinds], range=[*kinds.values()]), legend=None),
            shape=alt.Shape("kind:N", scale=alt.Scale(domain=[*shapes], range=[*shapes.values()]), legend=None),
            description="about:N",
        )
    )
    return svg(alt.layer(*layers), width, 240 if width < 500 else 300)


def _mark(document: ReportDocument, point: FrontPoint) -> dict[str, Any]:
    trial = next(t for t in document.trials if t.number == point.number)
    told = [f"trial {point.number}", *(f"{quantity} / fp32 {fixed(ratio, 3)}" for quantity, ratio in point.ratios)]
    for criterion, score in zip(document.criteria, trial.scores, strict=False):
        told.append(loss_phrase(criterion, score.loss.value, criterion.metric))
    kind = "chosen" if _is_chosen(document, point) else "front"
    return {"x": point.ratios[0][1], "y": point.ratios[1][1], "kind": kind, "about": "; ".join(told)}


def _is_chosen(document: ReportDocument, point: FrontPoint) -> bool:
    return document.best is not None and document.best.number == point.number
