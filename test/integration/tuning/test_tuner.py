"""The loop, end to end, on toy models in this process."""

from __future__ import annotations

import threading

import pytest
import toy_job
from toy_tuner import CountingRunner, StopsAfter, make_tuner, tune

from autoq.core.errors import StoppedByUserError
from autoq.core.plan import FP32_PLAN
from autoq.core.trial import TrialState
from autoq.store.artifacts import JobFolder
from autoq.store.repository import Store
from autoq.testing.toy import best_plan
from autoq.tuning.assemble import settings_of, workbench_of
from autoq.tuning.outcome import SilentListener, TuningOutcome
from autoq.tuning.recall import RECALLED
from autoq.tuning.tuner import Tuner


def test_finds_the_known_best_plan(tmp_path):
    model = toy_job.toy_chain()
    outcome = tune(toy_job.write_job(tmp_path, model))
    assert outcome.accepted
    assert outcome.best.plan == best_plan(model, 0.1)


def test_baseline_is_trial_zero_and_scored_on_both_splits(tmp_path):
    outcome = tune(toy_job.write_job(tmp_path, toy_job.toy_chain()))
    assert outcome.trials[0].plan == FP32_PLAN
    assert outcome.trials[0].scores[0].samples == 120
    assert outcome.held_out.scores[0].samples == 80


def test_nothing_good_enough_is_answered_with_fp32_and_the_nearest_attempt(tmp_path):
    outcome = tune(toy_job.write_job(tmp_path, toy_job.toy_chain((5.0,) * 4)))
    assert not outcome.accepted
    assert outcome.attempt is not None
    assert not outcome.attempt.plan.is_baseline
    assert (outcome.model_folder / "toy.json").exists()


def test_int8_slower_than_float_is_answered_with_fp32(tmp_path):
    model = toy_job.toy_chain((0.0,) * 4)
    slow = type(model)(tuple(type(o)(o.id, int8_seconds=0.01) for o in model.ops))
    outcome = tune(toy_job.write_job(tmp_path, slow))
    assert outcome.best is None


def test_failing_trials_are_recorded_and_tuning_goes_on(tmp_path):
    model = toy_job.toy_chain((0.0,) * 6, op2="build", op4="nan")
    outcome = tune(toy_job.write_job(tmp_path, model))
    failed = [t for t in outcome.trials if t.state is TrialState.FAILED]
    assert failed
    assert outcome.accepted
    assert {"op2", "op4"}.isdisjoint(outcome.best.plan)


def test_an_op_that_refuses_is_read_back_as_float(tmp_path):
    outcome = tune(toy_job.write_job(tmp_path, toy_job.toy_chain((0.0,) * 4, op1="refuse")))
    asked = next(t for t in outcome.trials if "op1" in t.plan)
    assert "op1" not in asked.realized


def test_trial_budget(tmp_path):
    job = toy_job.write_job(tmp_path, toy_job.toy_chain(), tuning__exit_policy={"max_trials": 3})
    outcome = tune(job)
    assert "3 trials" in outcome.stop_reason
    assert len([t for t in outcome.trials if not t.proposal.note.startswith("finalist")]) == 4


def test_first_pass_budget(tmp_path):
    job = toy_job.write_job(
        tmp_path, toy_job.toy_chain((0.0,) * 5), tuning__exit_policy={"first_pass": True, "max_trials": 50}
    )
    assert len(tune(job).trials) == 2


def test_time_budget(tmp_path):
    job = toy_job.write_job(
        tmp_path,
        toy_job.toy_chain((0.0,) * 12),
        tuning__exit_policy={"timeout": 0.05},
        tuning__strategy={"name": "random"},
    )
    assert "seconds" in tune(job).stop_reason


def test_no_plan_is_scored_twice(tmp_path):
    outcome = tune(toy_job.write_job(tmp_path, toy_job.toy_chain()))
    keys = [(t.plan.digest, t.proposal.samples) for t in outcome.trials]
    assert len(set(keys)) == len(keys)


def test_runs_in_a_thread(tmp_path):
    job = toy_job.write_job(tmp_path, toy_job.toy_chain())
    found = []
    thread = threading.Thread(target=lambda: found.append(tune(job)))
    thread.start()
    thread.join(60)
    assert found[0].accepted


def test_stop_hands_over_the_best_so_far_and_resume_goes_on(tmp_path):
    job = toy_job.write_job(tmp_path, toy_job.toy_chain((0.01,) * 6), tuning__strategy={"name": "random"})
    listener = StopsAfter(4)
    with Store.open(job.resolve("workspace")) as store:
        job_id = store.create_job("toy", "digest", {}).id
        listener.tuner = make_tuner(job, store, job_id, listener)
        stopped = listener.tuner.run()
        assert stopped.stop_reason == "stopped by the user"
        assert stopped.accepted
        assert (stopped.model_folder / "toy.json").exists()
        resumed = make_tuner(job, store, job_id).run()
    whole = tune(
        toy_job.write_job(tmp_path / "whole", toy_job.toy_chain((0.01,) * 6), tuning__strategy={"name": "random"})
    )
    assert [t.plan for t in resumed.trials] == [t.plan for t in whole.trials]
    assert resumed.best.plan == whole.best.plan


def test_stop_hands_over_what_was_decided_early_scored_in_full(tmp_path):
    model = toy_job.toy_chain((3.0, 0.0, 0.0, 0.0))
    job = toy_job.write_job(tmp_path, model, tuning__accuracy_criterion={"relative": 0.3})
    listener = StopsAfter(3)
    with Store.open(job.resolve("workspace")) as store:
        listener.tuner = make_tuner(job, store, store.create_job("toy", "digest", {}).id, listener)
        stopped = listener.tuner.run()
    assert stopped.trials[2].decided
    assert stopped.best.full
    assert stopped.best.plan == stopped.trials[2].plan


def test_measurements_on_few_samples_tell_the_divergence_whatever_the_batch_size(tmp_path):
    job = toy_job.write_job(tmp_path, toy_job.toy_chain((0.3, 0.2)), tuning__strategy={"name": "mse_v2"})
    screened = [t for t in tune(job).trials if t.proposal.samples == 32]
    assert screened
    assert all(t.divergence is not None for t in screened)


def test_stop_before_the_baseline_says_so(tmp_path):
    job = toy_job.write_job(tmp_path, toy_job.toy_chain())
    with Store.open(job.resolve("workspace")) as store:
        tuner = make_tuner(job, store, store.create_job("toy", "digest", {}).id)
        tuner.stop()
        with pytest.raises(StoppedByUserError, match="nothing to hand over"):
            tuner.run()


def run_again(job) -> tuple[TuningOutcome, CountingRunner]:
    """Another job in the same workspace, and the runner that counts what it scores."""
    with Store.open(job.resolve("workspace")) as store:
        runner = CountingRunner(lambda: workbench_of(job))
        folder = JobFolder(store.workspace, store.create_job("toy", "other", {}).id)
        return Tuner(runner, store, folder.job_id, folder, settings_of(job), SilentListener()).run(), runner


def test_another_limit_extends_stored_trials(tmp_path):
    model = toy_job.toy_chain((0.3, 0.01, 0.01, 0.01))
    tune(toy_job.write_job(tmp_path, model))
    outcome, runner = run_again(toy_job.write_job(tmp_path, model, tuning__accuracy_criterion={"relative": 0.9}))
    assert outcome.best.plan == best_plan(model, 1.0)
    # The fully quantized plan was given up after 10 of 120 samples; 80 are held out.
    assert runner.samples <= 110 + 80


def test_a_plan_that_keeps_the_new_limit_is_known_before_anything_is_run(tmp_path):
    model = toy_job.toy_chain((0.3, 0.01, 0.01, 0.01))
    first = tune(toy_job.write_job(tmp_path, model))
    changed = toy_job.write_job(
        tmp_path, model, tuning__accuracy_criterion={"relative": 0.02}, tuning__exit_policy={"max_trials": 1}
    )
    outcome, _ = run_again(changed)
    assert outcome.trials[1].proposal.note.startswith(RECALLED)
    assert outcome.best.plan == first.best.plan


def test_the_same_job_again_scores_nothing(tmp_path):
    model = toy_job.toy_chain()
    first = tune(toy_job.write_job(tmp_path, model))
    outcome, runner = run_again(toy_job.write_job(tmp_path, model))
    assert runner.samples == 0
    searched = [t.plan for t in outcome.trials if not t.proposal.note.startswith(RECALLED)]
    known = {t.plan for t in outcome.trials if t.proposal.note.startswith(RECALLED)}
    assert [p for p in searched if p not in known] == [t.plan for t in first.trials if t.plan not in known]


def test_trials_stop_when_they_are_decided(tmp_path):
    outcome = tune(toy_job.write_job(tmp_path, toy_job.toy_chain()))
    early = [t for t in outcome.trials if t.decided]
    assert early
    assert all(t.samples < 120 and not t.full for t in early)
    assert outcome.best.full


def test_a_trial_that_is_broken_early_has_an_estimated_latency(tmp_path):
    outcome = tune(toy_job.write_job(tmp_path, toy_job.toy_chain()))
    broken = [t for t in outcome.trials if t.decided and not t.met][1:]
    assert broken
    assert all(t.latency.estimated for t in broken)
