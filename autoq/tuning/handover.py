"""Writing the chosen model where the user finds it, whole or not at all."""

from __future__ import annotations

import shutil
from pathlib import Path

from autoq.core.errors import TrialError
from autoq.core.plan import Plan
from autoq.core.task import Save, Saved
from autoq.core.trial import Failure, FailureKind
from autoq.store.artifacts import atomic_folder
from autoq.tuning.session import Desk

FRAMEWORK_FILE = "framework.txt"
"""Beside a saved model: which adaptor loads it."""


def save_plan(desk: Desk, plan: Plan, target: Path, framework: str) -> Saved:
    """Save a plan's model as folder `target`, replacing what was there only when the new one is complete.

    Raises:
        TrialError: The model could not be saved, or loads with other outputs than it was scored with.
        StoreError: The disk is full or not writable.
    """
    with atomic_folder(target) as scratch:
        answer = desk.do(Save(plan, str(scratch)))
        if isinstance(answer, Failure) and answer.kind is FailureKind.CRASH:
            shutil.rmtree(scratch)  # whatever the process that died had written
            scratch.mkdir()
            answer = desk.do(Save(plan, str(scratch)))
        if isinstance(answer, Failure):
            raise TrialError(f"the model could not be saved: {answer.message}", where=str(target))
        assert isinstance(answer, Saved)
        (scratch / FRAMEWORK_FILE).write_text(framework + "\n")
        return answer
