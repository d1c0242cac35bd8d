"""What could run here, side by side: fp32 as it is, what needs no quantization, and what was chosen."""

from __future__ import annotations

from dataclasses import dataclass

from autoq.core.trial import MetricScore, Trial
from autoq.report.document import ReportDocument
from autoq.report.naming import baseline_name, rival_label, rivals_of
from autoq.report.side_by_side import compile_time
from autoq.report.text import NONE, duration, latency_ratio, loss_value, milliseconds, score, trial_verdict


@dataclass(frozen=True)
class RivalRow:
    """One model that could run here.

    Attributes:
        name: What it is.
        latency: Of one run; for rivals the ratio, which is measured in pairs, times the baseline's latency.
        ratio: To the baseline, with interval.
        scores: Each metric's score.
        losses: Each metric's loss; empty for the baseline.
        compiling: How long it compiles; a dash where it does not.
        verdict: Whether it keeps the promise.
        reason: Why there is no score.
        chosen: Whether it is handed over.
    """

    name: str
    latency: str
    ratio: str
    scores: tuple[str, ...]
    losses: tuple[str, ...]
    compiling: str
    verdict: str
    reason: str
    chosen: bool


def rival_rows(document: ReportDocument) -> list[RivalRow]:
    """fp32, its rivals and the shown plan; empty where there are no rivals to speak of."""
    rivals = rivals_of(document.trials)
    if not rivals:
        return []
    rows = [_row(document, document.baseline, baseline_name(document.trials))]
    rows += [_row(document, t, rival_label(t)) for t in rivals]
    shown = document.shown
    if shown is not None and shown.plan.precisions:
        rows.append(_row(document, shown, "the chosen plan" if document.best is not None else "the best attempt"))
    return rows


def _row(document: ReportDocument, trial: Trial, name: str) -> RivalRow:
    latency, best = document.latency_of(trial), document.best
    shown = document.shown is not None and trial.number == document.shown.number
    seconds = None
    if latency is not None and not latency.estimated:
        seconds = latency.seconds if shown else latency.ratio.value * _base_seconds(document)
    verdict = "chosen" if best is not None and trial.number == best.number else trial_verdict(trial)
    compiling = compile_time(document, trial)
    return RivalRow(
        name,
        milliseconds(seconds),
        "1" if trial.number == 0 and latency is not None else latency_ratio(latency),
        tuple(score(s.value) for s in trial.scores),
        tuple(_loss(document, s, i, trial) for i, s in enumerate(trial.scores)),
        NONE if compiling is None else duration(compiling),
        verdict.replace("accepted, no gain", "no gain"),
        trial.failure.message if trial.failure is not None else "",
        best is not None and trial.number == best.number,
    )


def _base_seconds(document: ReportDocument) -> float:
    """Seconds of one run of the baseline, as measured beside the shown plan where it was."""
    shown, base = document.shown, document.baseline.latency
    latency = document.latency_of(shown) if shown is not None else None
    if latency is not None and not latency.estimated:
        return latency.reference_seconds
    return base.seconds if base is not None else 0.0


def _loss(document: ReportDocument, found: MetricScore, index: int, trial: Trial) -> str:
    return "" if trial.number == 0 else f"loss {loss_value(document.criteria[index], found.loss.value)}"
