"""Tuners over toy jobs in this process."""

from __future__ import annotations

from autoq.core.task import Evaluated
from autoq.store.artifacts import JobFolder
from autoq.store.repository import Store
from autoq.tuning.assemble import settings_of, workbench_of
from autoq.tuning.in_process import InProcessRunner
from autoq.tuning.outcome import SilentListener, TuningOutcome
from autoq.tuning.tuner import Tuner


def make_tuner(job, store, job_id, listener=None) -> Tuner:
    folder = JobFolder(store.workspace, job_id)
    runner = InProcessRunner(lambda: workbench_of(job))
    return Tuner(runner, store, job_id, folder, settings_of(job), listener or SilentListener())


def tune(job, listener=None) -> TuningOutcome:
    with Store.open(job.resolve(job.tuning.workspace)) as store:
        return make_tuner(job, store, store.create_job("toy", "digest", {}).id, listener).run()


class StopsAfter(SilentListener):
    """Stops the tuner at the n-th trial."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count
        self.tuner: Tuner | None = None

    def trial(self, trial) -> None:
        super().trial(trial)
        if len(self.trials) == self.count:
            self.tuner.stop()


class CountingRunner(InProcessRunner):
    """Counts the tune samples it scores."""

    samples = 0

    def collect(self, timeout=None):
        outcome = super().collect(timeout)
        if outcome is not None and isinstance(outcome.answer, Evaluated):
            self.samples += max((len(r) for r in outcome.answer.records.values()), default=0)
        return outcome
