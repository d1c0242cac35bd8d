"""What earlier jobs measured of the same model on the same data, judged by this job's promise before anything runs."""

from __future__ import annotations

from autoq.core.plan import Proposal
from autoq.core.task import Split
from autoq.core.trial import Trial
from autoq.tuning.session import Session

RECALLED = "known from an earlier job"
"""How the note of a trial begins that was not run but read."""

_MOST = 5


def is_better(trial: Trial) -> bool:
    """Whether a trial is accepted and better than fp32 by its own measurement."""
    return trial.accepted and trial.objective is not None and trial.objective < 1


def recall(session: Session) -> list[Trial]:
    """The best plans of earlier jobs, by this job's objective, that keep its promise; nothing is scored for them.

    They are no answers to a strategy, which finds its own way and gets the same measurements when it asks: they make
    sure that a job with another limit ends no worse than what is known.
    """
    known: list[tuple[float, Trial]] = []
    for trial in session.ledger.elsewhere:
        if not trial.plan.precisions or trial.plan not in session.space:
            continue
        if trial.latency is None or trial.latency.estimated:
            continue
        objective = session.objective_of(trial, trial.latency)
        known.append((trial.latency.ratio.value if objective is None else objective, trial))
    recalled: list[Trial] = []
    for _, trial in sorted(known, key=lambda pair: pair[0]):
        if len(recalled) == _MOST:
            break
        if _keeps(session, trial):
            note = f"{RECALLED}: {trial.proposal.note}"
            recalled.append(session.trial(Proposal(trial.plan, note=note, deployed=trial.proposal.deployed)))
    return recalled


def _keeps(session: Session, trial: Trial) -> bool:
    """Whether the records of an earlier job are enough to say that this job's promise is kept."""
    judge, reference = session.judge, session.baseline_records[Split.TUNE]
    every = session.description.samples[Split.TUNE]
    found = session.ledger.known(trial.plan, deployed=trial.proposal.deployed)
    if found.samples >= every:
        return all(s.met for s in judge.scores(found.records, reference))
    decision = judge.decision(found.records, reference, session.hard) if found.records else None
    return decision is not None and decision.kept
