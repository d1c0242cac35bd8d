"""fp32 and the shown plan side by side: score, speed, size, memory, and what compiling took and changed."""

from __future__ import annotations

from dataclasses import dataclass

from autoq.core.criterion import Criterion
from autoq.core.trial import Latency, MetricScore, Trial
from autoq.report.document import ReportDocument
from autoq.report.text import (
    NONE,
    duration,
    factor,
    is_bound,
    latency_ratio,
    loss_bounds,
    loss_value,
    milliseconds,
    number,
    ratio_text,
    score,
    score_with_interval,
    size,
)


@dataclass(frozen=True)
class Compared:
    """One line of fp32 and the shown plan side by side."""

    what: str
    fp32: str
    shown: str
    change: str
    better: bool | None


def compared(document: ReportDocument) -> list[Compared]:
    """fp32 and the shown plan side by side."""
    shown, base = document.shown, document.baseline
    rows = [_compared_score(c, base, shown, i) for i, c in enumerate(document.criteria)]
    reference = _reference_of(document)
    if shown is not None and reference is not None:
        pairs = zip(reference.scores, shown.scores, strict=True)
        rows += [_compared_forms(before, after) for before, after in pairs]
    latency = document.latency_of(shown) if shown is not None else None
    rows.append(_compared_latency(base.latency, latency))
    rows.append(
        _compared_bytes(
            "size on disk", base.size_bytes or document.model.size_bytes, shown.size_bytes if shown else None
        )
    )
    if {"fp32", "best"} <= document.memory.keys():
        rows.append(_compared_bytes("peak memory", document.memory["fp32"], document.memory["best"]))
    spent, own = compile_time(document, base), compile_time(document, shown)
    if spent is not None or own is not None:
        rows.append(Compared("compile time", _seconds(spent), _seconds(own), "", None))
    return rows


def compile_time(document: ReportDocument, trial: Trial | None) -> float | None:
    """Seconds it took to compile the plan of a trial, whichever trial of it did; None where none was needed."""
    same = [t for t in document.trials if trial is not None and t.plan == trial.plan]
    return max((t.seconds["compile"] for t in same if "compile" in t.seconds), default=None)


def _reference_of(document: ReportDocument) -> Trial | None:
    """The trial in which the shown plan was scored before it was compiled, in full."""
    shown = document.shown
    if shown is None or shown.reference or not shown.scores:
        return None
    return next((t for t in document.trials if t.plan == shown.plan and t.reference and t.full and t.scores), None)


def _compared_forms(reference: MetricScore, deployed: MetricScore) -> Compared:
    """What compiling changed."""
    change = deployed.value - reference.value
    same = "as deployed" if change == 0 else f"{'+' if change > 0 else ''}{score(change)} once compiled"
    return Compared(f"{reference.metric} before compiling", NONE, score(reference.value), same, None)


def _compared_score(criterion: Criterion, base: Trial, shown: Trial | None, index: int) -> Compared:
    alone = score_with_interval(base.scores[index].value, base.scores[index].interval)
    if shown is None or not shown.scores:
        return Compared(criterion.metric, alone, NONE, "", None)
    found = shown.scores[index]
    value = found.loss.value
    bounds = f" {loss_bounds(criterion, found.loss)}" if found.loss.low < found.loss.high else ""
    least = "≥ " if shown.decided and is_bound(found.loss) else ""
    change = f"loss {least}{loss_value(criterion, value)}{bounds}"
    fp32 = alone if found.baseline == base.scores[index].value else score(found.baseline)
    return Compared(criterion.metric, fp32, score(found.value), change, found.met)


def _compared_latency(base: Latency | None, shown: Latency | None) -> Compared:
    if shown is None:
        return Compared("latency per run", milliseconds(base.seconds if base else None), NONE, "", None)
    if shown.estimated:
        return Compared("latency per run", milliseconds(shown.reference_seconds), NONE, latency_ratio(shown), None)
    return Compared(
        "latency per run",
        milliseconds(shown.reference_seconds),
        milliseconds(shown.seconds),
        f"{ratio_text(shown.ratio)} of fp32",
        shown.ratio.value < 1,
    )


def _compared_bytes(what: str, base: int, shown: int | None) -> Compared:
    if not shown or not base:
        return Compared(what, size(base), size(shown), "", None)
    change = f"{factor(base / shown)} smaller" if shown <= base else f"{factor(shown / base)} larger"
    return Compared(what, size(base), size(shown), "the same" if shown == base else change, shown <= base)


def _seconds(seconds: float | None) -> str:
    return NONE if seconds is None else duration(seconds)


@dataclass(frozen=True)
class Bars:
    """Latency of fp32 and of the shown plan, with places in percent."""

    fp32: str
    shown: str
    base: float
    value: float
    low: float
    high: float


def speed_bars(document: ReportDocument) -> Bars | None:
    """fp32 and the shown plan as bars; None when not measured."""
    shown = document.shown
    latency = document.latency_of(shown) if shown is not None else None
    if latency is None or latency.estimated:
        return None
    ratio = latency.ratio
    scale = 100 / max(1.0, ratio.high)
    places = (round(scale * x, 2) for x in (1.0, ratio.value, max(ratio.low, 0.0), ratio.high))
    return Bars(milliseconds(latency.reference_seconds), milliseconds(latency.seconds), *places)


def speed_text(document: ReportDocument) -> tuple[str, str]:
    """The speed-up and its interval."""
    speedup = document.verdict.speedup
    if speedup is None:
        return NONE, "not measured"
    level = f"{100 * speedup.confidence:g} % interval"
    return factor(speedup.value), f"{number(speedup.low)} to {number(speedup.high)} ({level})"
