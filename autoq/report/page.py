"""What the page shows, worked out before the template: the template only places it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from autoq.core.criterion import Criterion
from autoq.core.precision import FP32, OpPrecision
from autoq.core.trial import MetricScore, Trial
from autoq.report.document import OpRow, ReportDocument
from autoq.report.text import (
    NONE,
    counted,
    duration,
    fixed,
    is_bound,
    latency_ratio,
    limit_text,
    loss_bounds,
    loss_value,
    milliseconds,
    samples_text,
    score,
    size,
    trial_score,
    trial_verdict,
)

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_COLOURS = 8

PHASES = {
    "load": "loading model and data",
    "baseline": "scoring fp32",
    "calibrate": "calibrating",
    "rivals": "trying what needs no quantization",
    "search": "searching",
    "finalists": "measuring finalists",
    "front": "scoring the Pareto front",
    "verdict": "scoring held-out samples",
    "memory": "measuring memory",
    "deployment": "scoring the exported model",
    "save": "saving",
}


@dataclass(frozen=True)
class Gauge:
    """An interval on a line, all places in percent of its width.

    Attributes:
        low: Lower end.
        high: Upper end.
        value: The value.
        zero: Where nothing is lost.
        limit: The limit.
    """

    low: float
    high: float
    value: float
    zero: float
    limit: float


@dataclass(frozen=True)
class Loss:
    """One metric's loss, as text and as a gauge (None when it is infinite)."""

    metric: str
    value: str
    bounds: str
    limit: str
    met: bool
    samples: str
    certainty: str
    gauge: Gauge | None


@dataclass(frozen=True)
class Kind:
    """One precision of the map: its letter, colour class and count."""

    letter: str
    style: str
    label: str
    count: int


@dataclass(frozen=True)
class Cell:
    """One op of the map."""

    letter: str
    style: str
    fallback: bool
    op: str
    type: str
    asked: str
    realized: str
    time: str
    note: str

    @property
    def title(self) -> str:
        """All of it in one line."""
        asked = f", asked for {self.asked}" if self.fallback else ""
        rest = "".join(f", {text}" for text in (self.time, self.note) if text)
        return f"{self.op} ({self.type}): {self.realized}{asked}{rest}"


@dataclass(frozen=True)
class TrialRow:
    """One line of the history."""

    number: int
    what: str
    samples: str
    scores: tuple[tuple[str, str], ...]
    latency: str
    size: str
    verdict: str
    tone: str
    reason: str
    seconds: str
    compiling: str
    chosen: bool


@dataclass(frozen=True)
class Phase:
    """Seconds of one phase, and its share of the longest one in percent."""

    name: str
    time: str
    width: float


def losses(criteria: Sequence[Criterion], scores: Sequence[MetricScore], stopped_of: int | None = None) -> list[Loss]:
    """One per metric.

    Args:
        criteria: The promise.
        scores: Held against it.
        stopped_of: Samples there were, where scoring stopped before as soon as it was decided.
    """
    return [
        Loss(
            s.metric,
            f"{'≥ ' if stopped_of is not None and is_bound(s.loss) else ''}{loss_value(c, s.loss.value)}",
            loss_bounds(c, s.loss) if s.loss.low < s.loss.high else "",
            limit_text(c),
            s.met,
            counted(s.samples, "sample") if stopped_of is None else f"decided after {s.samples:,} of {stopped_of:,}",
            _certainty(s) if stopped_of is None else _early_certainty(s, stopped_of),
            _gauge(s),
        )
        for c, s in zip(criteria, scores, strict=True)
    ]


def shown_losses(document: ReportDocument) -> list[Loss]:
    """What the shown trial loses on the tune split, per metric; empty without one."""
    shown = document.shown
    if shown is None or not shown.scores:
        return []
    return losses(document.criteria, shown.scores, document.samples.get("tune") if shown.decided else None)


def precision_map(document: ReportDocument) -> tuple[list[Kind], list[Cell]]:
    """Legend, most frequent precision first and fp32 last, and one cell per op in execution order."""
    rows = document.op_rows
    counts = Counter(row.realized for row in rows)
    order = sorted(counts, key=lambda p: (p == FP32, p.is_float, -counts[p], p.label))
    kinds = {p: _kind(p, i, counts[p]) for i, p in enumerate(order)}
    total = sum(row.seconds or 0.0 for row in rows)
    return [*kinds.values()], [_cell(row, kinds[row.realized], total) for row in rows]


def by_type(cells: Sequence[Cell], kinds: Sequence[Kind]) -> list[tuple[str, list[int], int, int]]:
    """Per op type: how many in each precision of the legend, how many fell back, how many in all."""
    types = dict.fromkeys(cell.type for cell in cells)
    table = []
    for name in types:
        own = [cell for cell in cells if cell.type == name]
        counts = Counter(cell.realized for cell in own)
        table.append((name, [counts[k.label] for k in kinds], sum(c.fallback for c in own), len(own)))
    return sorted(table, key=lambda row: (-row[3], row[0]))


def trial_rows(document: ReportDocument) -> list[TrialRow]:
    """The history, in order."""
    return [_trial_row(document, trial) for trial in document.trials]


def phases(document: ReportDocument) -> list[Phase]:
    """Seconds per phase in the order they happened."""
    longest = max(document.seconds.values(), default=0.0)
    return [
        Phase(PHASES.get(name, name), duration(seconds), 100 * seconds / longest if longest else 0.0)
        for name, seconds in document.seconds.items()
    ]


def _certainty(found: MetricScore) -> str:
    """How sure the answer is for other samples like these, where there is an interval."""
    loss, limit = found.loss, found.limit
    if not loss.low < loss.high:
        return ""
    if loss.low > limit:
        return f"Beyond the limit with {100 * loss.confidence:g} % confidence."
    if loss.high <= limit:
        return f"Within the limit with {100 * loss.confidence:g} % confidence."
    kept = "Kept" if found.met else "Not kept"
    return f"{kept} on these samples; the interval reaches across the limit, so others like them may differ."


def _early_certainty(found: MetricScore, every: int) -> str:
    """How sure an answer is that did not wait for all samples."""
    wrong = f"{100 * (1 - found.loss.confidence):.3g} %"
    return f"Scoring stopped early: all {every:,} samples would say otherwise with a chance of at most {wrong}."


def samples(document: ReportDocument) -> str:
    """``300 tune, 200 held-out``."""
    return ", ".join(f"{n} {split.replace('_', '-')}" for split, n in document.samples.items() if n) or NONE


def _gauge(found: MetricScore) -> Gauge | None:
    loss, limit = found.loss, found.limit
    if not all(map(math.isfinite, (loss.low, loss.value, loss.high))):
        return None
    left, right = min(0.0, loss.low), max(limit, loss.high, 0.0)
    span = (right - left) or 1.0
    left, span = left - 0.08 * span, 1.16 * span
    low, high, value, zero, mark = (
        round(100 * (x - left) / span, 2) for x in (loss.low, loss.high, loss.value, 0.0, limit)
    )
    return Gauge(low, high, value, zero, mark)


def _kind(precision: OpPrecision, index: int, count: int) -> Kind:
    if precision == FP32:
        return Kind("·", "k-float", precision.label, count)
    return Kind(_LETTERS[index % len(_LETTERS)], f"k{index % _COLOURS}", precision.label, count)


def _cell(row: OpRow, kind: Kind, total: float) -> Cell:
    time = ""
    if row.seconds is not None and total > 0:
        time = f"{milliseconds(row.seconds)} in fp32 ({fixed(100 * row.seconds / total, 1)} %)"
    asked, realized = row.asked.label, row.realized.label
    return Cell(kind.letter, kind.style, row.fallback, row.op.id, row.op.type, asked, realized, time, row.note)


def _trial_row(document: ReportDocument, trial: Trial) -> TrialRow:
    best = document.best
    chosen = best is not None and trial.number == best.number
    latency = document.latency_of(trial)
    passed = trial.accepted and trial.number != 0 and (trial.objective is None or trial.objective < 1)
    tone = "bad" if trial.failure is not None else "good" if passed else ""
    return TrialRow(
        trial.number,
        trial.proposal.note or f"{len(trial.plan)} ops quantized",
        samples_text(trial, document.samples.get("tune", 0)),
        tuple(_scored(c, s, trial) for c, s in zip(document.criteria, trial.scores, strict=False)),
        "1" if trial.number == 0 and latency is not None else latency_ratio(latency),
        size(trial.size_bytes),
        "chosen" if chosen else trial_verdict(trial),
        tone,
        trial.failure.message if trial.failure is not None else "",
        duration(sum(trial.seconds.values())) if trial.seconds else _untimed(trial),
        duration(trial.seconds["compile"]) if "compile" in trial.seconds else "",
        chosen,
    )


def _untimed(trial: Trial) -> str:
    """Of a trial that took no time: it was put together from what the store held."""
    return "from the store" if trial.scores else NONE


def _scored(criterion: Criterion, found: MetricScore, trial: Trial) -> tuple[str, str]:
    if trial.number == 0:
        return f"{found.metric} {score(found.value)}", ""
    bounds = f" {loss_bounds(criterion, found.loss)}" if found.loss.low < found.loss.high else ""
    shown = trial_score(found, full=trial.full)
    least = "≥ " if trial.decided and is_bound(found.loss) else ""
    return f"{found.metric} {shown}", f"loss {least}{loss_value(criterion, found.loss.value)}{bounds}"
