"""How many samples a search scored, and how many it would have scored without stopping early."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from autoq.core.trial import Trial
from autoq.report.text import counted, number


@dataclass(frozen=True)
class ScoringEffort:
    """Samples of the tune split that a job scored, fp32 and the finalists included.

    Attributes:
        plans: Plans scored; one that is scored on a reference and as deployed counts twice.
        scored: Samples of all of them.
        full: Samples that full evaluations of the same plans would have scored.
    """

    plans: int
    scored: int
    full: int

    @property
    def saving(self) -> float:
        """How many times fewer samples were scored."""
        return self.full / self.scored

    def __str__(self) -> str:
        return (
            f"{counted(self.plans, 'plan')} took {counted(self.scored, 'scored sample')}; full evaluations would have "
            f"taken {self.full:,} ({number(self.saving)}× as many)"
        )


def scoring_effort(trials: Iterable[Trial], samples: int) -> ScoringEffort | None:
    """What was scored, or None where nothing was saved.

    Trials of one plan extend one record, so only the longest counts; one that was read from the store took nothing.

    Args:
        trials: Of one job.
        samples: Of the tune split.
    """
    scored: dict[tuple[str, bool], int] = {}
    for trial in trials:
        if trial.samples and trial.seconds:
            form = trial.plan.digest, trial.reference
            scored[form] = max(scored.get(form, 0), trial.samples)
    effort = ScoringEffort(len(scored), sum(scored.values()), len(scored) * samples)
    return effort if effort.scored < effort.full else None
