"""Jobs with several objectives hand over a front, every plan of it scored in full."""

from __future__ import annotations

import pytest
import toy_job
from toy_tuner import make_tuner, tune

from autoq.core.objective import Quantity
from autoq.store.repository import Store
from autoq.testing.toy import ToyModel, ToyOp
from autoq.tuning.front import ratios_of

BOTH = {"latency": 1, "size": 1}


def conflicting() -> ToyModel:
    """Half of the ops are slower in int8: small or fast, not both."""
    fast = [ToyOp(f"op{i}", noise=0.001, int8_seconds=0.001) for i in range(4)]
    small = [ToyOp(f"op{i + 4}", noise=0.001, int8_seconds=0.003) for i in range(4)]
    return ToyModel((*fast, *small))


@pytest.fixture(scope="module", params=["pareto", "auto"])
def outcome(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    return tune(toy_job.write_job(folder, conflicting(), tuning__strategy=request.param, tuning__objectives=BOTH))


def test_the_front_trades_one_for_the_other(outcome):
    ratios = [dict(p.ratios) for p in outcome.front]
    assert len(ratios) >= 2
    assert [r[Quantity.LATENCY] for r in ratios] == sorted(r[Quantity.LATENCY] for r in ratios)
    assert [r[Quantity.SIZE] for r in ratios] == sorted((r[Quantity.SIZE] for r in ratios), reverse=True)


def test_its_ends_are_the_fastest_and_the_smallest(outcome):
    trials = {t.number: t for t in outcome.trials}
    fastest, smallest = trials[outcome.front[0].number], trials[outcome.front[-1].number]
    assert set(fastest.plan) == {f"op{i}" for i in range(4)}
    assert set(smallest.plan) == {f"op{i}" for i in range(8)}


def test_every_plan_of_it_is_scored_in_full_and_accepted(outcome):
    trials = {t.number: t for t in outcome.trials}
    assert all(trials[p.number].full and trials[p.number].accepted for p in outcome.front)


def test_what_is_handed_over_lies_on_it(outcome):
    trials = {t.number: t for t in outcome.trials}
    assert outcome.best.plan in {trials[p.number].plan for p in outcome.front}


def test_one_objective_has_no_front(tmp_path):
    assert tune(toy_job.write_job(tmp_path, toy_job.toy_chain())).front == ()


def test_memory_is_compared_with_that_of_fp32(tmp_path):
    job = toy_job.write_job(
        tmp_path, conflicting(), tuning__objectives={"latency": 1, "memory": 1}, tuning__exit_policy={"max_trials": 2}
    )
    outcome = tune(job)
    ratios = ratios_of(outcome.trials[1], outcome.objective.quantities, outcome.baseline)
    assert dict(ratios)[Quantity.MEMORY] > 0


def test_a_job_that_was_killed_in_the_front_comes_to_the_same_finalists(tmp_path):
    job = toy_job.write_job(tmp_path, conflicting(), tuning__strategy="pareto", tuning__objectives=BOTH)
    with Store.open(job.resolve("workspace")) as store:
        job_id = store.create_job("toy", "digest", {}).id
        first = make_tuner(job, store, job_id).run()
        again = make_tuner(job, store, job_id).run()
    assert again.full_latencies == first.full_latencies
    assert (again.best.number, again.best.scores) == (first.best.number, first.best.scores)
    assert len(again.trials) == len(first.trials)
