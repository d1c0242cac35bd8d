"""The protocol of the place where trials run: this process, a child, a cluster."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from autoq.core.task import Description, Outcome, Progress, Task

ProgressListener = Callable[[Progress], None]


class TrialRunner(Protocol):
    """Holds model, statistics and data; does what it is asked, and answers in any order.

    A task whose plan fails answers with a `Failure`. Anything else that goes wrong (bad data, missing
    framework) raises the `AutoqError` it is from `open` or `collect`.
    """

    def open(self, progress: ProgressListener) -> Description:
        """Load the model and the data.

        Raises:
            AutoqError: The job cannot run at all.
        """

    def submit(self, task: Task) -> int:
        """Queue a task; returns its id."""

    def collect(self, timeout: float | None = None) -> Outcome | None:
        """The next finished task, or None when `timeout` seconds passed without one."""

    def cancel(self) -> None:
        """Abandon running and queued tasks; nothing is answered for them. Safe from another thread."""

    def close(self) -> None:
        """Release everything. Idempotent."""
