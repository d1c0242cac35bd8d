"""Accuracy against speed, and the search over time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from autoq.core.criterion import Criterion
from autoq.core.objective import Quantity
from autoq.core.trial import Trial, TrialState
from autoq.report.document import ReportDocument
from autoq.report.drawing import ACCENT, BAD, CARD, GOOD, INK, MUTED, svg
from autoq.report.scales import axis_title, in_unit, loss_title, reach, x_scale, y_axis, y_scale
from autoq.report.text import latency_ratio, limit_text, loss_bounds, loss_value, number, samples_text, trial_verdict

_KINDS = {
    "chosen": ("M0,-1L.294,-.405L.951,-.309L.476,.155L.588,.809L0,.5L-.588,.809L-.476,.155L-.951,-.309L-.294,-.405Z"),
    "fp32": "diamond",
    "rival": "triangle-up",
    "accepted": "circle",
    "screened": "circle",
    "rejected": "cross",
}
_FILLS = {"chosen": ACCENT, "fp32": INK, "rival": INK, "accepted": GOOD, "screened": CARD, "rejected": CARD}
_STROKES = {"chosen": ACCENT, "fp32": INK, "rival": INK, "accepted": GOOD, "screened": GOOD, "rejected": BAD}
_SIZES = {"chosen": 210, "fp32": 110, "rival": 100, "accepted": 75, "screened": 60, "rejected": 60}

_LABEL_ROOM = 115
"""Pixels that the label of the chosen mark needs: a mark further left has it on the right."""

_FP32_ROOM = 45
"""Pixels that the label of fp32 needs."""

_LIMIT_ROOM = 65
"""Pixels that the label of the limit needs at the left end of its line."""


def scatter(document: ReportDocument, index: int, width: int) -> str | None:
    """Loss of one metric against the first objective, with intervals and the Pareto front.

    Args:
        document: The report.
        index: Which criterion.
        width: Pixels of the plot; the picture scales.

    Returns:
        An SVG element, or None when no trial can be placed.
    """
    criterion, quantity = document.criteria[index], _axis(document)
    points = [p for t in _placed(document) if (p := _point(document, t, index, quantity)) is not None]
    if len(points) < 2:
        return None
    x = alt.X("x:Q", title=axis_title(quantity), scale=x_scale(points), axis=alt.Axis(tickCount=5, grid=False))
    y = alt.Y("y:Q", title=loss_title(criterion), scale=y_scale(points, criterion), axis=y_axis(points, criterion))
    data = alt.Data(values=points)
    bars = [p for p in points if p["kind"] != "fp32"]
    base = alt.Chart(data)
    layers: list[Any] = [
        alt.Chart(alt.Data(values=[{"y": in_unit(criterion, criterion.limit)}]))
        .mark_rule(color=BAD, strokeDash=[6, 4], strokeWidth=1.5)
        .encode(y=y),
        alt.Chart(alt.Data(values=[{"x": 1.0}])).mark_rule(color=MUTED, strokeDash=[2, 3]).encode(x=x),
        alt.Chart(alt.Data(values=_front(points)))
        .mark_line(interpolate="step-after", color=ACCENT, strokeWidth=2, opacity=0.55)
        .encode(x=x, y=y, order="x:Q"),
        alt.Chart(alt.Data(values=bars))
        .mark_rule(color=MUTED, clip=True)
        .encode(x=x, y=alt.Y("low:Q"), y2="high:Q", opacity=_opacity()),
        alt.Chart(alt.Data(values=[p for p in bars if p["left"] is not None]))
        .mark_rule(color=MUTED, clip=True)
        .encode(x=alt.X("left:Q"), x2="right:Q", y=y, opacity=_opacity()),
        _marks(base, x, y),
        _label(points, "fp32", "fp32", x, y, width),
        _label(points, "chosen", _chosen_label(document), x, y, width),
        alt.Chart(
            alt.Data(values=[{"y": in_unit(criterion, criterion.limit), "text": f"limit {limit_text(criterion)}"}])
        )
        .mark_text(align="left", color=BAD, fontSize=12, **_limit_place(points, criterion, width))
        .encode(x=alt.value(0), y=y, text="text:N"),
    ]
    return svg(alt.layer(*layers), width, 300 if width < 500 else 380)


def history(document: ReportDocument, width: int) -> str | None:
    """The objective of every trial in its order, and the best accepted so far.

    Returns:
        An SVG element, or None when there are fewer than two trials with an objective.
    """
    rows, steps, best = [], [], 1.0
    for trial in document.trials:
        if trial.accepted and trial.objective is not None and not trial.reference:
            best = min(best, trial.objective)
        steps.append({"x": trial.number, "y": best})
        if trial.objective is not None and math.isfinite(trial.objective):
            rows.append({"x": trial.number, "y": trial.objective, **_look(document, trial)})
    if len(rows) < 2:
        return None
    step = max(1, math.ceil(len(document.trials) / (6 if width < 500 else 14)))
    ticks = [t.number for t in document.trials][::step]
    x = alt.X(
        "x:Q",
        title="trial",
        axis=alt.Axis(values=ticks, format="d", grid=False),
        scale=alt.Scale(nice=False, padding=14),
    )
    name = str(document.objective.quantities[0]) if len(document.objective.quantities) == 1 else "objective"
    y = alt.Y("y:Q", title=f"{name} / fp32", scale=alt.Scale(zero=True), axis=alt.Axis(tickCount=5))
    line = (
        alt.Chart(alt.Data(values=steps))
        .mark_line(interpolate="step-after", color=ACCENT, strokeWidth=2)
        .encode(x=x, y=y)
    )
    return svg(alt.layer(line, _marks(alt.Chart(alt.Data(values=rows)), x, y)), width, 240)


def _placed(document: ReportDocument) -> list[Trial]:
    """Complete trials; of a plan that was tried several times, only the one that says most: in full, then decided."""
    complete = [t for t in document.trials if t.state is TrialState.COMPLETE]
    most: dict[str, tuple[bool, bool, bool]] = {}
    for trial in complete:
        most[trial.plan.digest] = max(_says(trial), most.get(trial.plan.digest, (False, False, False)))
    return [t for t in complete if _says(t) == most[t.plan.digest]]


def _says(trial: Trial) -> tuple[bool, bool, bool]:
    return trial.full, trial.decided, not trial.reference


def _point(document: ReportDocument, trial: Trial, index: int, quantity: Quantity) -> dict[str, Any] | None:
    criterion, found = document.criteria[index], trial.scores[index]
    latency = document.latency_of(trial)
    left = right = None
    place: float | None = 1.0
    if trial.number != 0:
        if quantity is Quantity.SIZE:
            base = document.baseline.size_bytes or document.model.size_bytes
            place = trial.size_bytes / base if trial.size_bytes else None
        else:
            place = latency.ratio.value if latency is not None else None
            if latency is not None and not latency.estimated:
                left, right = latency.ratio.low, latency.ratio.high
    shown = [place, found.loss.value, found.loss.low, found.loss.high, *(() if left is None else (left, right))]
    if not all(n is not None and math.isfinite(n) for n in shown):
        return None
    return {
        "x": place,
        "left": left,
        "right": right,
        "y": in_unit(criterion, found.loss.value),
        "low": in_unit(criterion, found.loss.low),
        "high": in_unit(criterion, found.loss.high),
        "full": trial.full,
        "sure": trial.full or trial.accepted,
        **_look(document, trial, index),
    }


def _look(document: ReportDocument, trial: Trial, index: int = 0) -> dict[str, Any]:
    best = document.best
    if trial.number == 0:
        kind = "fp32"
    elif best is not None and trial.number == best.number:
        kind = "chosen"
    elif trial.accepted and trial.plan.is_rival:
        kind = "rival"
    else:
        kind = "rejected" if not trial.met else "accepted" if trial.accepted and not trial.reference else "screened"
    return {"kind": kind, "about": _about(document, trial, index)}


def _about(document: ReportDocument, trial: Trial, index: int) -> str:
    parts = [f"trial {trial.number}", trial_verdict(trial)]
    if trial.proposal.note:
        parts.append(trial.proposal.note)
    if trial.scores and trial.number != 0:
        criterion, loss = document.criteria[index], trial.scores[index].loss
        parts.append(f"{criterion.metric} loss {loss_value(criterion, loss.value)} {loss_bounds(criterion, loss)}")
        if trial.decided:
            parts.append(samples_text(trial, document.samples.get("tune", 0)))
    latency = document.latency_of(trial)
    if latency is not None and trial.number != 0:
        parts.append(f"latency / fp32 {latency_ratio(latency)}")
    return "; ".join(parts)


def _axis(document: ReportDocument) -> Quantity:
    wanted = document.objective.quantities[0]
    return Quantity.SIZE if wanted is Quantity.SIZE else Quantity.LATENCY


def _front(points: Sequence[Mapping[str, Any]]) -> list[dict[str, float]]:
    """Points scored in full or accepted before, that no other beats in both directions, fastest first."""
    front: list[dict[str, float]] = []
    for p in sorted((p for p in points if p["sure"]), key=lambda p: (p["x"], p["y"])):
        if not front or p["y"] < front[-1]["y"]:
            front.append({"x": p["x"], "y": p["y"]})
    return front


def _marks(base: alt.Chart, x: alt.X, y: alt.Y) -> alt.Chart:
    def scale(values: Mapping[str, Any]) -> alt.Scale:
        return alt.Scale(domain=[*values], range=[*values.values()])

    marks: alt.Chart = base.mark_point(strokeWidth=1.8, opacity=1).encode(
        x=x,
        y=y,
        shape=alt.Shape("kind:N", scale=scale(_KINDS), legend=None),
        fill=alt.Fill("kind:N", scale=scale(_FILLS), legend=None),
        stroke=alt.Stroke("kind:N", scale=scale(_STROKES), legend=None),
        size=alt.Size("kind:N", scale=scale(_SIZES), legend=None),
        description="about:N",
    )
    return marks


def _opacity() -> alt.Opacity:
    kinds = {"chosen": 1.0, "accepted": 0.7, "screened": 0.25, "rejected": 0.35, "rival": 1.0, "fp32": 1.0}
    return alt.Opacity("kind:N", scale=alt.Scale(domain=[*kinds], range=[*kinds.values()]), legend=None)


def _label(
    points: Sequence[Mapping[str, Any]],
    kind: str,
    text: str,
    x: alt.X,
    y: alt.Y,
    width: int,
) -> alt.Chart:
    """The name of a mark: the chosen one's above, to the left if there is room; fp32's below, where fewer marks are."""
    chosen = [{"x": p["x"], "y": p["y"], "text": text} for p in points if p["kind"] == kind][:1]
    pixel = reach(points) / width
    if kind == "fp32":
        near = [p["x"] - 1.0 for p in points if 0 < abs(p["x"] - 1.0) < _FP32_ROOM * pixel]
        right = sum(d > 0 for d in near) <= sum(d < 0 for d in near)
    else:
        right = bool(chosen) and chosen[0]["x"] < _LABEL_ROOM * pixel
    mark: alt.Chart = (
        alt.Chart(alt.Data(values=chosen))
        .mark_text(
            align="left" if right else "right",
            baseline="top" if kind == "fp32" else "bottom",
            dx=11 if right else -11,
            dy=6 if kind == "fp32" else -6,
            color=INK,
            fontSize=13,
            fontWeight=600,
        )
        .encode(x=x, y=y, text="text:N")
    )
    return mark


def _limit_place(points: Sequence[Mapping[str, Any]], criterion: Criterion, width: int) -> dict[str, Any]:
    """Above the line, or below it where a mark stands in the way."""
    limit = in_unit(criterion, criterion.limit)
    room = _LIMIT_ROOM * reach(points) / width
    taken = any(p["x"] < room and limit <= p["y"] < 3 * limit for p in points)
    return {"dx": 4, "baseline": "top", "dy": 4} if taken else {"dx": 4, "baseline": "bottom", "dy": -4}


def _chosen_label(document: ReportDocument) -> str:
    speedup = document.verdict.speedup
    return f"chosen, {number(speedup.value)}×" if speedup is not None else "chosen"
