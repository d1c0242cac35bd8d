"""Hard samples come first in every evaluation of the tune split, and records stay paired."""

from __future__ import annotations

import numpy as np
import pytest
import toy_job
from toy_tuner import tune

from autoq.core.plan import FP32_PLAN, Plan
from autoq.core.task import Evaluate, Split
from autoq.store.repository import Store
from autoq.testing.toy import INT8
from autoq.tuning.assemble import workbench_of
from autoq.tuning.in_process import TaskCancelled


def baseline_of(job):
    return workbench_of(job).handle(Evaluate(FP32_PLAN, Split.TUNE, 0, 120, deployed=True), lambda _: None)


def evaluated(bench, plan):
    return bench.handle(Evaluate(plan, Split.TUNE, 0, 120), lambda _: None).records["top1"].values[:, 0]


def test_fp32_tells_how_many_samples_are_hard(tmp_path):
    assert baseline_of(toy_job.write_job(tmp_path, toy_job.toy_chain())).hard == 30


def test_what_a_small_error_flips_comes_first(tmp_path):
    job = toy_job.write_job(tmp_path, toy_job.toy_chain((0.2,)))
    bench = workbench_of(job)
    evaluated(bench, FP32_PLAN)
    wrong = evaluated(bench, Plan({"op0": INT8})) == 0
    assert wrong.any()
    assert not wrong[30:].any()


def test_the_order_is_the_same_in_every_process(tmp_path):
    job = toy_job.write_job(tmp_path, toy_job.toy_chain((0.5,)))
    first = workbench_of(job)
    evaluated(first, FP32_PLAN)
    again = workbench_of(job)
    plan = Plan({"op0": INT8})
    np.testing.assert_array_equal(evaluated(first, plan), evaluated(again, plan))


def test_a_lost_order_is_found_again(tmp_path):
    job = toy_job.write_job(tmp_path, toy_job.toy_chain((0.5,)))
    bench = workbench_of(job)
    expected = evaluated(bench, Plan({"op0": INT8}))
    (kept,) = (tmp_path / "workspace" / "cache").glob("order-*.npz")
    kept.write_bytes(b"damaged")
    np.testing.assert_array_equal(evaluated(workbench_of(job), Plan({"op0": INT8})), expected)


def test_metrics_that_are_no_means_need_no_order(tmp_path):
    job = toy_job.write_job(tmp_path, toy_job.toy_chain(), evaluation__accuracy__metric="f1")
    answer = workbench_of(job).handle(Evaluate(FP32_PLAN, Split.TUNE, 0, 120, deployed=True), lambda _: None)
    assert answer.hard == 0
    assert not list((tmp_path / "workspace" / "cache").glob("order-*.npz"))


def test_metrics_that_are_no_means_are_scored_in_full(tmp_path):
    outcome = tune(toy_job.write_job(tmp_path, toy_job.toy_chain(), evaluation__accuracy__metric="f1"))
    assert not any(t.decided for t in outcome.trials)
    assert outcome.best is not None


def test_a_resumed_job_pairs_as_before(tmp_path):
    job = toy_job.write_job(tmp_path, toy_job.toy_chain())
    first = tune(job)
    with Store.open(job.resolve("workspace")) as store:
        found = store.fact(first.job_id, "hard samples")
    assert found == 30


def test_an_order_that_was_abandoned_on_the_way_is_found_by_whatever_is_scored_next(tmp_path):
    job = toy_job.write_job(tmp_path, toy_job.toy_chain((0.5,)))
    plan = Plan({"op0": INT8})
    expected = evaluated(workbench_of(job), plan)
    (kept,) = (tmp_path / "workspace" / "cache").glob("order-*.npz")
    kept.unlink()

    def abandon(progress):
        if progress.done:
            raise TaskCancelled

    bench = workbench_of(job)
    with pytest.raises(TaskCancelled):
        bench.handle(Evaluate(plan, Split.TUNE, 0, 120), abandon)
    np.testing.assert_array_equal(evaluated(bench, plan), expected)
