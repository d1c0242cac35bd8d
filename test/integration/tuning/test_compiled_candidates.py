"""Candidates that are compiled: searched on a reference, measured seldom, and decided as deployed."""

from __future__ import annotations

from dataclasses import replace

import pytest
import toy_job
from toy_tuner import CountingRunner, StopsAfter, make_tuner, tune

from autoq.core.precision import FP32
from autoq.core.trial import TrialState
from autoq.run import replay_bundle, run_job
from autoq.store.artifacts import JobFolder
from autoq.store.repository import Store
from autoq.testing.toy import best_plan
from autoq.testing.toy_candidate import ToyCandidate, ToyReference
from autoq.tuning.assemble import settings_of, workbench_of
from autoq.tuning.outcome import SilentListener
from autoq.tuning.tuner import Tuner

NOISES = (3.0, 2.0, 0.01, 0.01, 0.01, 1.5, 0.01, 0.01)


def compiled(noises=NOISES, drifts=None, seconds=1000.0, **changes):
    """A chain whose candidates are compiled; compiling is said to take so long that no plan is compiled for speed."""
    model = toy_job.toy_chain(noises, **{k: v for k, v in changes.items() if k.startswith("op")})
    ops = tuple(replace(op, drift=(drifts or {}).get(op.id, 0.0)) for op in model.ops)
    others = {k: v for k, v in changes.items() if not k.startswith("op")}
    return replace(model, ops=ops, compile_seconds=seconds, **others)


@pytest.fixture
def compilations(monkeypatch) -> list:
    """The plans that are compiled, in order."""
    seen = []
    real = ToyReference.compiled

    def counting(self):
        if self.compile_seconds is None:
            seen.append(self.realized)
        return real(self)

    monkeypatch.setattr(ToyReference, "compiled", counting)
    return seen


def searched(outcome) -> list:
    return [t for t in outcome.trials[1:] if not t.plan.is_rival and not t.proposal.deployed]


def deployed(outcome) -> list:
    return [t for t in outcome.trials[1:] if not t.plan.is_rival and t.proposal.deployed]


def test_finds_the_known_best_plan(tmp_path):
    model = compiled()
    outcome = tune(toy_job.write_job(tmp_path, model))
    assert outcome.best.plan == best_plan(model, 0.1)
    assert outcome.best.proposal.deployed
    assert not outcome.best.latency.estimated


def test_the_baseline_is_the_compiled_one(tmp_path):
    model = compiled()
    outcome = tune(toy_job.write_job(tmp_path, model))
    assert outcome.baseline.latency.seconds == pytest.approx(10 * model.seconds(outcome.baseline.plan))
    assert outcome.baseline.seconds["compile"] == 1000.0
    assert not outcome.baseline.reference


def test_the_first_full_plan_is_measured_and_others_are_estimated(tmp_path):
    outcome = tune(toy_job.write_job(tmp_path, compiled()))
    first, *others = searched(outcome)
    assert not first.latency.estimated
    assert first.seconds["compile"] == 1000.0
    assert others
    assert all(t.latency.estimated and t.reference for t in others)


def test_an_estimate_lies_between_fp32_and_the_full_plan(tmp_path):
    outcome = tune(toy_job.write_job(tmp_path, compiled()))
    first, *others = searched(outcome)
    assert all(first.speed <= t.speed <= 1 for t in others)


def test_only_anchors_and_finalists_are_compiled(tmp_path, compilations):
    outcome = tune(toy_job.write_job(tmp_path, compiled()))
    plans = [outcome.baseline.plan, searched(outcome)[0].plan, *(t.plan for t in deployed(outcome))]
    assert sorted(p.digest for p in compilations) == sorted(p.digest for p in plans)


def test_a_finalist_that_fails_as_deployed_makes_room_for_the_next(tmp_path):
    # On the reference op4 costs nothing; compiled, it alone is beyond the limit.
    model = compiled((0.01,) * 5, {"op4": 5.0})
    outcome = tune(toy_job.write_job(tmp_path, model, tuning__strategy={"name": "exhaustive"},
                                     tuning__exit_policy={"max_trials": 300}))  # fmt: skip
    rejected = [t for t in deployed(outcome) if not t.accepted]
    assert rejected
    assert outcome.best is not None
    assert "op4" not in outcome.best.plan
    assert any("not as deployed" in note for note in outcome.notes)


def test_the_number_of_compiled_finalists_is_bounded(tmp_path):
    model = compiled((0.01,) * 8, {f"op{i}": 5.0 for i in range(8)})
    outcome = tune(toy_job.write_job(tmp_path, model, tuning__strategy={"name": "random"},
                                     tuning__exit_policy={"max_trials": 40}))  # fmt: skip
    assert outcome.best is None
    assert len(deployed(outcome)) == 6
    assert any("6 finalists" in note for note in outcome.notes)
    assert outcome.attempt.proposal.deployed


def test_a_plan_that_does_not_compile_is_a_failed_trial(tmp_path):
    outcome = tune(toy_job.write_job(tmp_path, compiled((0.01,) * 4, op1="compile")))
    first = searched(outcome)[0]
    assert first.state is TrialState.FAILED
    assert "does not compile" in first.failure.message


def test_where_compiling_takes_less_time_than_scoring_plans_are_scored_as_deployed(tmp_path, monkeypatch):
    model = compiled(seconds=0.0)
    monkeypatch.setattr("autoq.tuning.session._CLEARLY_PAYS", 1e9)
    outcome = tune(toy_job.write_job(tmp_path, model))
    first, *others = [t for t in outcome.trials[1:] if not t.plan.is_rival]
    assert first.reference
    assert others
    assert all(t.proposal.deployed for t in others)
    assert not any(t.latency.estimated for t in others if t.met)
    assert outcome.best.plan == best_plan(model, 0.1)


def test_scores_of_both_forms_are_kept_apart(tmp_path):
    model = compiled((0.01,) * 4, {"op0": 0.3})
    outcome = tune(toy_job.write_job(tmp_path, model, tuning__accuracy_criterion={"relative": 0.9}))
    (best,) = [t for t in outcome.trials if t.number == outcome.best.number]
    (reference,) = [t for t in searched(outcome) if t.plan == best.plan]
    assert reference.scores[0].value > best.scores[0].value


def test_held_out_is_scored_as_deployed(tmp_path):
    model = compiled((0.01,) * 4, {"op0": 0.3})
    outcome = tune(toy_job.write_job(tmp_path, model, tuning__accuracy_criterion={"relative": 0.9}))
    best = outcome.best
    assert "op0" in best.plan
    assert outcome.held_out.scores[0].value < 0.9


def test_the_saved_model_is_the_compiled_one(tmp_path):
    model = compiled((0.01,) * 4, {"op0": 0.3})
    job = toy_job.write_job(tmp_path, model, tuning__accuracy_criterion={"relative": 0.9})
    candidate = run_job(job, SilentListener()).candidate
    assert not isinstance(candidate, ToyReference)
    assert candidate.realized["op0"] != FP32


def test_a_second_run_repeats_nothing(tmp_path):
    job = toy_job.write_job(tmp_path, compiled(half_speed=0.8))
    first = run_job(job, SilentListener())
    again = SilentListener()
    second = run_job(job, again, resume=True)
    assert again.trials == []
    assert second.trials == first.trials
    assert second.plan == first.plan


def test_another_limit_answers_from_stored_trials(tmp_path):
    model = compiled((0.3, 0.01, 0.01, 0.01))
    tune(toy_job.write_job(tmp_path, model))
    job = toy_job.write_job(tmp_path, model, tuning__accuracy_criterion={"relative": 0.9})
    with Store.open(job.resolve("workspace")) as store:
        runner = CountingRunner(lambda: workbench_of(job))
        folder = JobFolder(store.workspace, store.create_job("toy", "other", {}).id)
        outcome = Tuner(runner, store, folder.job_id, folder, settings_of(job), SilentListener()).run()
    assert outcome.best.plan == best_plan(model, 1.0)
    # Only finalists of the first limit were scored as deployed.
    assert runner.samples <= 120 * len(deployed(outcome))


def test_stopped_the_best_is_compiled_and_handed_over(tmp_path):
    job = toy_job.write_job(tmp_path, compiled((0.01,) * 6), tuning__strategy={"name": "random"})
    listener = StopsAfter(4)
    with Store.open(job.resolve("workspace")) as store:
        listener.tuner = make_tuner(job, store, store.create_job("toy", "digest", {}).id, listener)
        stopped = listener.tuner.run()
    assert stopped.stopped
    assert stopped.best.proposal.deployed
    assert not stopped.best.latency.estimated


def test_a_bundle_replays(tmp_path):
    job = toy_job.write_job(tmp_path, compiled(half_speed=0.8))
    result = run_job(job, SilentListener())
    replayed = replay_bundle(result.folder / "bundle", lambda _: None)
    assert replayed.same_plan
    assert replayed.same_scores
    assert replayed.differences == ()


def test_sizes_are_compared_with_what_is_deployed_of_fp32(tmp_path, monkeypatch):
    real = ToyReference.compiled

    def heavy(self):
        candidate = real(self)
        candidate.__class__ = Heavy
        return candidate

    class Heavy(ToyCandidate):
        size_bytes = property(lambda self: 1_000_000 + ToyCandidate.size_bytes.fget(self))

    monkeypatch.setattr(ToyReference, "compiled", heavy)
    outcome = tune(toy_job.write_job(tmp_path, compiled((0.01,) * 4)))
    assert outcome.baseline.size_bytes == 1_004_000
    assert outcome.best.size_bytes == 1_001_000
