"""Trials and intervals in one line, the same in every command."""

from __future__ import annotations

from autoq.core.interval import Interval
from autoq.core.trial import Trial
from autoq.report.text import NONE, fixed, score_with_interval, trial_score


def interval_text(interval: Interval) -> str:
    """``+0.0120 [−0.0040, +0.0280]``."""
    return f"{fixed(interval.value, 4)} [{fixed(interval.low, 4)}, {fixed(interval.high, 4)}]"


def accuracy_text(trial: Trial, between: str = "; ") -> str:
    """Each metric's score, beside fp32's where not all samples were scored, and its loss with interval."""
    if trial.number == 0:
        return between.join(f"{s.metric} {score_with_interval(s.value, s.interval)}" for s in trial.scores)
    scored = (f"{s.metric} {trial_score(s, full=trial.full)}, loss {interval_text(s.loss)}" for s in trial.scores)
    return between.join(scored) or NONE


def loss_text(trial: Trial) -> str:
    """Each metric's loss with interval, a line each: what fits where `accuracy_text` does not."""
    if trial.number == 0:
        return accuracy_text(trial, "\n")
    names = [f"{s.metric} " if len(trial.scores) > 1 else "" for s in trial.scores]
    return "\n".join(f"{n}{interval_text(s.loss)}" for n, s in zip(names, trial.scores, strict=True)) or NONE
