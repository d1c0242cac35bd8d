"""What a tuning run found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from autoq.core.criterion import Criterion
from autoq.core.deployed import Deployment
from autoq.core.inquiry import Findings
from autoq.core.objective import Objective
from autoq.core.space import Space
from autoq.core.strategy import Costs
from autoq.core.task import Description, Progress
from autoq.core.trial import Latency, MetricScore, Trial
from autoq.tuning.front import FrontPoint

STOPPED = "stopped by the user"
"""Why a search ended that `Tuner.stop` ended."""


@dataclass(frozen=True)
class HeldOut:
    """The verdict on samples the search never saw.

    Attributes:
        scores: One per metric.
        verdict: ``confirmed``, ``not_confirmed`` or ``undecided``, of the worst metric.
    """

    scores: tuple[MetricScore, ...]
    verdict: str


@dataclass(frozen=True)
class TuningOutcome:
    """Everything a report needs.

    Attributes:
        job_id: The job in the store.
        description: Model and data.
        space: What was searched.
        criteria: The promise.
        objective: What was made small.
        baseline: fp32 as trial 0.
        trials: All finished trials, the baseline included.
        best: The accepted trial that is handed over, with its full latency; None when fp32 is the answer.
        attempt: Where nothing was accepted, the trial that came nearest; never handed over as accepted.
        full_latencies: Careful latency by plan digest, of the finalists.
        held_out: Verdict on `best` (or on `attempt`); None without held-out data.
        memory: Peak inference memory in bytes, of ``fp32`` and ``best``.
        seconds: Seconds by phase.
        stop_reason: Why the search ended.
        explanation: What the strategy did, in its own words.
        notes: What the reader should know before trusting a number.
        folder: The job's folder.
        model_folder: Where the chosen model lies (fp32 when nothing was accepted).
        attempt_folder: Where the attempt lies, if there is one.
        deployment: What the deployment gate found; None where the job has no such section.
        costs: Seconds per op that the strategy was given; None when the search never began.
        findings: What it asked to be measured besides plans.
        accepted_after: Seconds from the start, over all sessions, until the first plan better than fp32 was accepted.
        ties: Numbers of finalists whose latencies cannot be told apart, per tie.
        front: The Pareto front, where the job has several objectives.
    """

    job_id: str
    description: Description
    space: Space
    criteria: tuple[Criterion, ...]
    objective: Objective
    baseline: Trial
    trials: tuple[Trial, ...]
    best: Trial | None
    attempt: Trial | None
    full_latencies: Mapping[str, Latency]
    held_out: HeldOut | None
    memory: Mapping[str, int]
    seconds: Mapping[str, float]
    stop_reason: str
    explanation: str
    notes: tuple[str, ...]
    folder: Path
    model_folder: Path
    attempt_folder: Path | None = None
    deployment: Deployment | None = None
    costs: Costs | None = None
    findings: tuple[Findings, ...] = ()
    accepted_after: float | None = None
    ties: tuple[tuple[int, ...], ...] = ()
    front: tuple[FrontPoint, ...] = ()

    @property
    def accepted(self) -> bool:
        """True when a plan better than fp32 keeps the promise."""
        return self.best is not None

    @property
    def stopped(self) -> bool:
        """True when the user ended it early: `--resume` finds more to do."""
        return self.stop_reason == STOPPED


class TuningListener(Protocol):
    """Told what happens while it happens; must return quickly."""

    def phase(self, name: str) -> None:
        """A phase begins: load, baseline, calibrate, rivals, search, finalists, verdict, memory, deployment, save.

        Also ``stopping``, from the thread that stops.
        """

    def progress(self, progress: Progress) -> None:
        """The running task got further."""

    def opened(self, description: Description, space: Space) -> None:
        """Model and data are known."""

    def trial(self, trial: Trial) -> None:
        """A trial ended."""


@dataclass
class SilentListener:
    """Listens to nothing but remembers the trials."""

    trials: list[Trial] = field(default_factory=list)

    def phase(self, name: str) -> None:
        """Nothing."""

    def progress(self, progress: Progress) -> None:
        """Nothing."""

    def opened(self, description: Description, space: Space) -> None:
        """Nothing."""

    def trial(self, trial: Trial) -> None:
        """Remember it."""
        self.trials.append(trial)


def worst_verdict(verdicts: Sequence[str]) -> str:
    """All must be confirmed; one that is not confirmed decides."""
    for verdict in ("not_confirmed", "undecided"):
        if verdict in verdicts:
            return verdict
    return "confirmed"
