"""Trials in this very process: for notebooks, for objects that cannot leave it, and inside the child."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from autoq.core.errors import RunnerError
from autoq.core.runner import ProgressListener
from autoq.core.task import Description, Outcome, Progress, Task
from autoq.tuning.workbench import Workbench


class TaskCancelled(BaseException):
    """Raised inside a running task when it was abandoned."""


class InProcessRunner:
    """Does each task when its answer is collected. Promises failed trials for Python errors only."""

    def __init__(self, make_workbench: Callable[[], Workbench]) -> None:
        self._make_workbench = make_workbench
        self._workbench: Workbench | None = None
        self._queue: deque[tuple[int, Task]] = deque()
        self._count = 0
        self._listener: ProgressListener = lambda _: None
        self._cancelled = threading.Event()

    def open(self, progress: ProgressListener) -> Description:
        """Load the model and the data."""
        self._listener = progress
        progress(Progress("load", 0, None))
        self._workbench = self._make_workbench()
        return self._workbench.describe()

    def submit(self, task: Task) -> int:
        """Queue a task."""
        # Cleared here and not when the task begins: one cancelled in between must not run.
        self._cancelled.clear()
        self._count += 1
        self._queue.append((self._count, task))
        return self._count

    def collect(self, timeout: float | None = None) -> Outcome | None:
        """Do the oldest queued task now, however long it takes; None when nothing is queued or it was cancelled."""
        del timeout
        if self._workbench is None:
            raise RunnerError("the runner is not open")
        if not self._queue:
            return None
        try:
            task_id, task = self._queue.popleft()
        except IndexError:
            return None  # cancelled from another thread this very moment
        try:
            return Outcome(task_id, self._workbench.handle(task, self._progress))
        except TaskCancelled:
            return None

    def cancel(self) -> None:
        """Abandon the running task at its next sample, and everything queued."""
        self._queue.clear()
        self._cancelled.set()

    def close(self) -> None:
        """Release the workbench."""
        if self._workbench is not None:
            self._workbench.close()
            self._workbench = None

    def _progress(self, progress: Progress) -> None:
        if self._cancelled.is_set():
            raise TaskCancelled
        self._listener(progress)
