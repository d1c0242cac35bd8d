"""The candidates a workbench holds: built once, compiled once, released when they are no longer needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from autoq.core.adaptor import Candidate, Compilable
from autoq.core.plan import FP32_PLAN, Plan
from autoq.core.runner import ProgressListener
from autoq.core.task import Progress

_COMPILED_KEPT = 4
"""Compiled candidates that outlive their task: compiling a finalist again would take longer than anything else."""


def deployed(candidate: Candidate) -> Candidate:
    """What a user runs of a candidate: its compiled form where it has one.

    Raises:
        TrialError: It does not compile.
    """
    return candidate.compiled() if isinstance(candidate, Compilable) else candidate


def compile_seconds(candidate: Candidate) -> float | None:
    """What compiling a candidate took; None where it was not, or has no such form."""
    return candidate.compile_seconds if isinstance(candidate, Compilable) else None


class Candidates:
    """Candidates by plan, the latest used last.

    Args:
        build: Makes the candidate of a plan.
    """

    def __init__(self, build: Callable[[Plan], Candidate]) -> None:
        self._build = build
        self._held: dict[str, Candidate] = {}

    def of(self, plan: Plan) -> Candidate:
        """The candidate of a plan, as a search scores it."""
        candidate = self._held.pop(plan.digest, None)
        self._held[plan.digest] = candidate if candidate is not None else self._build(plan)
        return self._held[plan.digest]

    def deployed_of(self, plan: Plan, progress: ProgressListener) -> Candidate:
        """The candidate of a plan as it is deployed.

        Raises:
            TrialError: It does not compile.
        """
        candidate = self.of(plan)
        if isinstance(candidate, Compilable) and candidate.compile_seconds is None:
            progress(Progress("compile", 0, None))
        return deployed(candidate)

    def keep(self, plans: Sequence[Plan]) -> None:
        """Release all but fp32, these, and the compiled ones used last."""
        kept = {FP32_PLAN.digest, *(p.digest for p in plans)}
        others = [d for d in self._held if d not in kept]
        compiled = [d for d in others if compile_seconds(self._held[d]) is not None]
        kept |= set(compiled[-_COMPILED_KEPT:])
        for digest in [d for d in others if d not in kept]:
            self._held.pop(digest).close()

    def close(self) -> None:
        """Release all."""
        for candidate in self._held.values():
            candidate.close()
        self._held.clear()
