"""Writing the chosen model where the user finds it, whole or not at all."""

from __future__ import annotations

from pathlib import Path

from autoq.core.errors import TrialError
from autoq.core.plan import Plan
from autoq.core.runner import TrialRunner
from autoq.core.task import Save, Saved
from autoq.core.trial import Failure
from autoq.store.artifacts import atomic_folder

FRAMEWORK_FILE = "framework.txt"
"""Beside a saved model: which adaptor loads it."""


def save_plan(runner: TrialRunner, plan: Plan, target: Path, framework: str) -> Saved:
    """Save a plan's model as folder `target`, replacing what was there only when the new one is complete.

    Raises:
        TrialError: The model could not be saved, or loads with other outputs than it was scored with.
        StoreError: The disk is full or not writable.
    """
    with atomic_folder(target) as scratch:
        task_id = runner.submit(Save(plan, str(scratch)))
        while True:
            outcome = runner.collect(timeout=0.5)
            if outcome is not None and outcome.task_id == task_id:
                break
        if isinstance(outcome.answer, Failure):
            raise TrialError(f"the model could not be saved: {outcome.answer.message}", where=str(target))
        assert isinstance(outcome.answer, Saved)
        (scratch / FRAMEWORK_FILE).write_text(framework + "\n")
        return outcome.answer
