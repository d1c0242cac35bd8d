"""An open session of a job: proposals are tried, or read from the store, outside of a whole tuning run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from autoq.config.schema import Job
from autoq.store.repository import Store
from autoq.tuning.assemble import settings_of, workbench_of
from autoq.tuning.in_process import InProcessRunner
from autoq.tuning.outcome import SilentListener
from autoq.tuning.session import Desk, Session
from autoq.tuning.tuner import open_session


@contextmanager
def opened(job: Job, store: Store) -> Iterator[Session]:
    """A session of a new row in `store`; what other jobs measured of the same model on the same data is known to it."""
    row = store.create_job(job.model.name, "benchmark", {})
    runner = InProcessRunner(lambda: workbench_of(job))
    try:
        yield open_session(Desk(runner, store, row.id, SilentListener()), settings_of(job))
    finally:
        runner.close()
