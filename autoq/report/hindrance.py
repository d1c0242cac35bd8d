"""What stood in the way of an accepted plan, in words: for the page and the terminal."""

from __future__ import annotations

from dataclasses import dataclass

from autoq.core.inquiry import Need
from autoq.core.objective import Quantity
from autoq.report.document import ReportDocument
from autoq.report.sensitivity import NAMES
from autoq.report.text import NONE, is_bound, join, limit_text, loss_bounds, loss_value, number, samples_text
from autoq.tuning.obstacles import Blocker

_MOST_NAMES = 3


@dataclass(frozen=True)
class BlockerRow:
    """One line: which ops, of what type, and the evidence."""

    ops: str
    type: str
    evidence: str


def reached(document: ReportDocument) -> str:
    """The best accuracy reached by a plan that would be a gain, with interval; empty where something was accepted."""
    found = document.obstacles
    if found is None:
        return ""
    score = found.best_loss
    criterion = next(c for c in document.criteria if c.metric == score.metric)
    trial = next(t for t in document.trials if t.number == found.nearest)
    bounds = f" {loss_bounds(criterion, score.loss)}" if score.loss.low < score.loss.high else ""
    least = "at least " if trial.decided and is_bound(score.loss) else ""
    lost = f"{least}{loss_value(criterion, score.loss.value)}{bounds} of {score.metric}"
    gain = "" if trial.objective is None or trial.objective < 1 else ", though no gain over fp32,"
    which = f"trial {trial.number}" + (f" ({trial.proposal.note})" if trial.proposal.note else "")
    seen = samples_text(trial, document.samples.get("tune", 0))
    return (
        f"The nearest plan{gain} is that of {which}: it loses {lost}, and the limit is {limit_text(criterion)} "
        f"({seen} samples)."
    )


def blockers(document: ReportDocument) -> list[BlockerRow]:
    """Which ops keep the limit from being met, and how that is known."""
    found = document.obstacles
    if found is None:
        return []
    return [BlockerRow(_names(b), b.type, _evidence(document, b, found.need)) for b in found.blocking]


def ties(document: ReportDocument) -> list[str]:
    """Finalists whose latencies cannot be told apart from the chosen one's; all that tie, where none was chosen.

    Nothing where something else than speed decides.
    """
    if not set(document.objective.quantities) <= {Quantity.LATENCY, Quantity.THROUGHPUT}:
        return []
    chosen = document.best.number if document.best is not None else None
    rivals = sorted({n for tie in document.ties if chosen in tie for n in tie} - {chosen})
    if chosen is None or not rivals:
        return [f"Trials {join(str(n) for n in t)} tie: their latencies cannot be told apart." for t in document.ties]
    names = join(str(n) for n in rivals)
    return [
        f"Trial {chosen}, the chosen one, ties with {names}: their latencies cannot be told apart. Of those that tie, "
        "and are faster than fp32 beyond doubt, the one that loses least is chosen."
    ]


def _names(blocker: Blocker) -> str:
    units = blocker.units
    if len(units) <= _MOST_NAMES:
        return join(units)
    return f"{units[0]} … {units[-1]} ({len(units)} ops)"


def _evidence(document: ReportDocument, blocker: Blocker, need: Need | None) -> str:
    parts = []
    if blocker.sensitivity is not None and blocker.share is not None and need is not None:
        parts.append(f"{NAMES[need]} {number(blocker.sensitivity)}, {100 * blocker.share:.0f} % of all it quantizes")
    if blocker.won is not None and blocker.trials is not None and document.obstacles is not None:
        metric = document.obstacles.best_loss.metric
        criterion = next(c for c in document.criteria if c.metric == metric)
        before, after = blocker.trials
        parts.append(f"moved to float: {loss_value(criterion, blocker.won)} won (trial {before} to {after})")
    if blocker.floating:
        parts.append("float in the nearest plan")
    return "; ".join(parts) or NONE
