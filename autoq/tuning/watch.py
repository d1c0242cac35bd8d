"""What looks at an evaluation while it runs: when it may stop, and how far outputs are from fp32's."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from autoq.core.batch import Inputs, Outputs
from autoq.core.records import Records
from autoq.evaluation.divergence import Reference, Watched
from autoq.evaluation.sequential.decision import SequentialDecider


class Watch:
    """Of one evaluation.

    Args:
        decider: Told every batch; None to score all samples.
        reference: fp32's first outputs; None where the first samples are not among those that are scored.
    """

    def __init__(self, decider: SequentialDecider | None = None, reference: Reference | None = None) -> None:
        self._decider = decider
        self._reference = reference
        self._watched: Watched | None = None
        self.broken = False

    def over(self, predict: Callable[[Inputs], Outputs]) -> Callable[[Inputs], Outputs]:
        """What to run in place of `predict`."""
        if self._reference is None:
            return predict
        self._watched = self._reference.watch(predict)
        return self._watched

    def enough(self, records: Mapping[str, Records]) -> bool:
        """Whether the trial is decided by these further records, and before."""
        if self._decider is None:
            return False
        decision = self._decider.add(records)
        self.broken = decision is not None and not decision.kept
        return decision is not None

    @property
    def divergence(self) -> float | None:
        """Of the first samples; None where they were not seen."""
        return self._watched.value if self._watched is not None else None
