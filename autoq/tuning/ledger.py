"""What was measured before, in this job or in another with the same evidence: nothing is scored twice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from autoq.core.plan import LatencyEffort, Plan, Proposal
from autoq.core.records import Records
from autoq.core.task import Split
from autoq.core.trial import Latency, Trial, TrialState
from autoq.store.repository import Store

Key = tuple[str, int | None, LatencyEffort, bool, bool]

_DEPLOYED = f"{Split.TUNE}:deployed"
"""Under which the store keeps records of the tune split that are those of the deployed form."""


def key_of(proposal: Proposal) -> Key:
    """What makes two proposals one trial: plan, samples, effort and form, not the note."""
    return proposal.plan.digest, proposal.samples, proposal.latency, proposal.deployed, proposal.exact


def _records_key(*, deployed: bool) -> str:
    return _DEPLOYED if deployed else str(Split.TUNE)


@dataclass(frozen=True, eq=False)
class Known:
    """What is known of one plan in one form.

    Attributes:
        records: Per-sample records of the tune split, by metric; empty when never scored.
        latency: Its latency, if it was ever measured, whichever form was scored: only the deployed one is timed.
        size_bytes: Bytes of its saved form.
        realized: What really ran.
        reference: Whether the records are those of a reference, not of what is deployed.
        divergence: Of its first samples' outputs.
    """

    records: Mapping[str, Records]
    latency: Latency | None
    size_bytes: int | None
    realized: Plan | None
    reference: bool
    divergence: float | None = None

    @property
    def samples(self) -> int:
        """Samples scored so far."""
        return min((len(r) for r in self.records.values()), default=0)


_NOTHING = Known({}, None, None, None, reference=False)


class Ledger:
    """Reads the store once, then keeps up with what is written through it.

    Args:
        store: What it reads and writes.
        job_id: Its job.
        evidence: Scores of other jobs with this evidence are used; None for those of no other.
    """

    def __init__(self, store: Store, job_id: str, evidence: str | None) -> None:
        self._store = store
        self._job_id = job_id
        self._finished = {key_of(t.proposal): t for t in store.trials(job_id)}
        self._starts = {key_of(proposal): number for number, proposal, _ in store.orphans(job_id)}
        self._numbers = {t.number for t in self._finished.values()} | set(self._starts.values())
        self._sources: dict[tuple[str, bool], str] = {}
        self._elsewhere: dict[tuple[str, bool], Trial] = {}
        self._siblings: list[str] = []
        for job in store.jobs() if evidence is not None else ():
            if job.id != job_id and store.fact(job.id, "evidence") == evidence:
                self._siblings.append(job.id)
                for trial in store.trials(job.id):
                    self._remember_elsewhere(job.id, trial)

    @property
    def finished(self) -> list[Trial]:
        """Finished trials of this job, in order of their numbers."""
        return sorted(self._finished.values(), key=lambda t: t.number)

    @property
    def elsewhere(self) -> list[Trial]:
        """Scored trials of other jobs with the same evidence, the one with the most samples of each plan."""
        return list(self._elsewhere.values())

    def fact(self, key: str) -> Any | None:
        """What was measured under a name, in this job or in another with the same evidence."""
        for job_id in (self._job_id, *self._siblings):
            stored = self._store.fact(job_id, key)
            if stored is not None:
                return stored
        return None

    def own_fact(self, key: str) -> Any | None:
        """What this very job measured under a name."""
        return self._store.fact(self._job_id, key)

    def keep_fact(self, key: str, value: Any) -> None:
        """Write down what was measured."""
        self._store.set_fact(self._job_id, key, value)

    def find(self, proposal: Proposal) -> Trial | None:
        """The finished trial of exactly this proposal, or the same of the deployed form, which tells no less."""
        same = self._finished.get(key_of(proposal))
        return same or self._finished.get(key_of(replace(proposal, deployed=True)))

    def known(self, plan: Plan, *, deployed: bool = False) -> Known:
        """Everything measured of a plan in one form, whichever trial or job measured it."""
        complete = [t for t in self._finished.values() if t.plan == plan and t.state is TrialState.COMPLETE]
        trials = [t for t in complete if t.proposal.deployed == deployed]
        job_id, key = self._job_id, (plan.digest, deployed)
        if not trials and key in self._elsewhere:
            trials, job_id = [self._elsewhere[key]], self._sources[key]
        timed = [t.latency for t in (*complete, *trials) if t.latency is not None and not t.latency.estimated]
        latency = timed[-1] if timed else None
        if not trials:
            return replace(_NOTHING, latency=latency)
        records = self._store.records(job_id, plan.digest, _records_key(deployed=deployed)) or {}
        last = trials[-1]
        divergence = next((t.divergence for t in reversed(trials) if t.divergence is not None), None)
        return Known(records, latency, last.size_bytes, last.realized, last.reference, divergence)

    def held_out(self, plan: Plan) -> Mapping[str, Records] | None:
        """Held-out records of a plan of this job or of one with the same evidence; always of the deployed form."""
        found = self._store.records(self._job_id, plan.digest, Split.HELD_OUT)
        for deployed in (True, False):
            source = self._sources.get((plan.digest, deployed))
            if found is None and source is not None:
                found = self._store.records(source, plan.digest, Split.HELD_OUT)
        return found

    def start(self, proposal: Proposal) -> tuple[int, int]:
        """Write the start row; returns the trial's number and how often it was started, this time included."""
        number = self._starts.get(key_of(proposal))
        if number is None:
            number = max(self._numbers, default=-1) + 1
            self._numbers.add(number)
            self._starts[key_of(proposal)] = number
        return number, self._store.start_trial(self._job_id, number, proposal)

    def discard(self, proposal: Proposal) -> None:
        """Take a start back: the user stopped it, so it is no orphan."""
        number = self._starts.pop(key_of(proposal))
        self._numbers.discard(number)
        self._store.discard_start(self._job_id, number)

    def finish(self, trial: Trial, records: Mapping[Split, Mapping[str, Records]]) -> None:
        """Write a finished trial with its records, in one transaction."""
        tune = _records_key(deployed=trial.proposal.deployed)
        kept = {tune if split is Split.TUNE else str(split): found for split, found in records.items() if found}
        self._store.finish_trial(self._job_id, trial, kept)
        self._finished[key_of(trial.proposal)] = trial
        self._starts.pop(key_of(trial.proposal), None)

    def _remember_elsewhere(self, job_id: str, trial: Trial) -> None:
        if trial.state is not TrialState.COMPLETE:
            return
        key = trial.plan.digest, trial.proposal.deployed
        old = self._elsewhere.get(key)
        if old is None or max(s.samples for s in trial.scores) > max(s.samples for s in old.scores):
            self._elsewhere[key] = trial
            self._sources[key] = job_id
