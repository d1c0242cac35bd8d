"""Same seed, trial budget and stored measurements: same plans in the same order, for every strategy."""

import shutil
from dataclasses import replace

import pytest
from toy_job import toy_chain, write_job

from autoq.core.registry import STRATEGIES
from autoq.store.artifacts import JobFolder
from autoq.store.repository import Store
from autoq.tuning.assemble import settings_of, workbench_of
from autoq.tuning.in_process import InProcessRunner
from autoq.tuning.outcome import SilentListener
from autoq.tuning.tuner import Tuner

TRIALS = 12


class Overheard:
    """A strategy whose questions are written down."""

    def __init__(self, strategy, asked) -> None:
        self._strategy = strategy
        self._asked = asked

    def ask(self):
        answer = self._strategy.ask()
        self._asked.append(answer)
        return answer

    def tell(self, news) -> None:
        self._strategy.tell(news)


def job_of(folder, strategy):
    changes = {"tuning__strategy__name": strategy, "tuning__exit_policy__max_trials": TRIALS}
    return write_job(folder, toy_chain((0.3, 0.2, 0.01, 0.02, 0.15, 0.01, 0.4, 0.01)), **changes)


def asked_in_a_run(job):
    """What the strategy asked for in a whole run, and the plan that was handed over."""
    asked = []
    settings = settings_of(job)

    def make(*args, **options):
        return Overheard(settings.make_strategy(*args, **options), asked)

    with Store.open(job.resolve(job.tuning.workspace)) as store:
        job_id = store.create_job("toy", "digest", {}).id
        runner = InProcessRunner(lambda: workbench_of(job))
        folder = JobFolder(store.workspace, job_id)
        tuner = Tuner(runner, store, job_id, folder, replace(settings, make_strategy=make), SilentListener())
        best = tuner.run().best
    return asked, None if best is None else best.plan


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_same_stored_measurements_give_the_same_plans_in_the_same_order(strategy, tmp_path) -> None:
    job = job_of(tmp_path, strategy)
    asked_in_a_run(job)
    copy = tmp_path / "copy"
    shutil.copytree(job.resolve(job.tuning.workspace), copy)
    again = job.model_copy(update={"tuning": job.tuning.model_copy(update={"workspace": str(copy)})})
    assert asked_in_a_run(job) == asked_in_a_run(again)


@pytest.mark.parametrize("strategy", ["auto", "bayesian"])
def test_nothing_but_measurements_decides_the_plans(strategy, tmp_path) -> None:
    # Time is simulated in toy models: a fresh workspace measures the same, whatever the machine is busy with.
    assert asked_in_a_run(job_of(tmp_path / "one", strategy)) == asked_in_a_run(job_of(tmp_path / "two", strategy))
