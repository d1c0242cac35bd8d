"""Rivals in float: tried before the search, recorded like any trial, and the answer where nothing beats them."""

from __future__ import annotations

from dataclasses import replace

import pytest
import toy_job
from toy_tuner import make_tuner, tune

from autoq.core.errors import ConfigError
from autoq.core.plan import Plan
from autoq.core.registry import ADAPTORS
from autoq.core.trial import TrialState
from autoq.run import run_job
from autoq.store.repository import Store
from autoq.testing.toy_model import BF16, EAGER, best_plan
from autoq.tuning.outcome import SilentListener


def halved(noises=(0.01,) * 4, **changes):
    return replace(toy_job.toy_chain(noises), half_speed=0.7, **changes)


def rivals_of(trials) -> list:
    return [t for t in trials if t.plan.is_rival]


def test_a_rival_is_the_first_trial_after_fp32(tmp_path):
    outcome = tune(toy_job.write_job(tmp_path, halved()))
    assert outcome.trials[1].plan == Plan({}, (BF16,))
    assert outcome.trials[1].proposal.note == "bf16"
    assert outcome.trials[1].full


def test_rivals_have_a_phase_of_their_own(tmp_path):
    class Phases(SilentListener):
        def __init__(self):
            super().__init__()
            self.names = []

        def phase(self, name):
            self.names.append(name)

    listener = Phases()
    tune(toy_job.write_job(tmp_path, halved()), listener)
    assert listener.names.index("calibrate") < listener.names.index("rivals") < listener.names.index("search")


def test_rivals_do_not_count_as_trials_of_the_search(tmp_path):
    job = toy_job.write_job(
        tmp_path, halved(), tuning__exit_policy={"max_trials": 3}, tuning__strategy={"name": "random"}
    )
    outcome = tune(job)
    assert len([t for t in outcome.trials[1:] if not t.plan.is_rival]) == 3


def test_a_rival_may_be_the_answer(tmp_path):
    outcome = tune(toy_job.write_job(tmp_path, halved((5.0,) * 4)))
    assert outcome.best.plan == Plan({}, (BF16,))
    assert outcome.best.latency.ratio.value == pytest.approx(0.7)
    assert (outcome.model_folder / "toy.json").exists()


def test_a_rival_that_loses_too_much_is_not_the_answer(tmp_path):
    outcome = tune(toy_job.write_job(tmp_path, halved((5.0,) * 4, half_noise=2.0)))
    assert outcome.best is None
    assert not rivals_of(outcome.trials)[0].accepted
    assert not outcome.attempt.plan.is_rival


def test_the_recipe_is_part_of_the_best_plan(tmp_path):
    model = replace(toy_job.toy_chain(), half_speed=0.7)
    outcome = tune(toy_job.write_job(tmp_path, model))
    assert outcome.best.plan == best_plan(model, 0.1)
    assert outcome.best.plan.recipes == (BF16,)


def test_a_job_may_turn_a_recipe_off(tmp_path):
    outcome = tune(toy_job.write_job(tmp_path, halved(), quantization__recipes={"bf16": False}))
    assert not [t for t in outcome.trials if BF16 in t.plan.recipes]


def test_a_job_may_not_ask_for_a_recipe_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match="recipe 'bf16' does not apply"):
        tune(toy_job.write_job(tmp_path, toy_job.toy_chain(), quantization__recipes={"bf16": True}))


def test_turning_one_recipe_off_keeps_the_others(tmp_path):
    model = halved(compile_seconds=1.0)
    outcome = tune(toy_job.write_job(tmp_path, model, quantization__recipes={"eager": False}))
    assert [t.plan.recipes for t in rivals_of(outcome.trials)] == [(BF16,)]


def test_rivals_are_skipped_when_half_of_the_time_is_over(tmp_path):
    job = toy_job.write_job(tmp_path, halved(), tuning__exit_policy={"timeout": 1e-6})
    outcome = tune(job)
    assert not rivals_of(outcome.trials)
    assert any("bf16 was not tried" in note for note in outcome.notes)


def test_a_resumed_job_keeps_its_rivals_although_the_time_is_over(tmp_path):
    job = toy_job.write_job(tmp_path, halved(), tuning__exit_policy={"timeout": 1000})
    with Store.open(job.resolve("workspace")) as store:
        job_id = store.create_job("toy", "digest", {}).id
        first = make_tuner(job, store, job_id).run()
        store.set_fact(job_id, "seconds", {"search": 2000.0})
        again = make_tuner(job, store, job_id).run()
    assert rivals_of(again.trials) == rivals_of(first.trials)
    assert not any("was not tried" in note for note in again.notes)


def test_what_fails_is_a_recorded_trial(tmp_path, monkeypatch):
    monkeypatch.setattr("autoq.testing.toy_candidate.ToyCandidate.predict", failing_in(BF16))
    outcome = tune(toy_job.write_job(tmp_path, halved()))
    (rival,) = rivals_of(outcome.trials)
    assert rival.state is TrialState.FAILED
    assert "no bf16 here" in rival.failure.message
    assert outcome.accepted


def failing_in(recipe):
    from autoq.core.errors import TrialError
    from autoq.testing.toy_candidate import ToyCandidate

    real = ToyCandidate.predict

    def predict(self, inputs):
        if recipe in self.realized.recipes:
            raise TrialError("no bf16 here")
        return real(self, inputs)

    return predict


@pytest.mark.parametrize("strategy", ["basic", "random", "exhaustive"])
def test_a_second_run_repeats_nothing(tmp_path, strategy):
    job = toy_job.write_job(tmp_path, halved((3.0, 0.01, 0.01)), tuning__strategy={"name": strategy})
    first = run_job(job, SilentListener())
    again = SilentListener()
    second = run_job(job, again, resume=True)
    assert again.trials == []
    assert second.trials == first.trials
    assert second.plan == first.plan


def test_eager_stands_beside_a_compiled_baseline(tmp_path):
    outcome = tune(toy_job.write_job(tmp_path, replace(toy_job.toy_chain((0.01,) * 4), compile_seconds=1.0)))
    (rival,) = rivals_of(outcome.trials)
    assert rival.plan.recipes == (EAGER,)
    assert rival.proposal.note == "eager fp32"
    assert rival.latency.ratio.value == pytest.approx(2.0)


def test_the_deployment_gate_exports_a_quantized_plan_where_a_rival_is_the_answer(tmp_path, monkeypatch):
    exported = []
    monkeypatch.setattr("autoq.tuning.tuner.deploy", lambda session, trial, wanted, folder: exported.append(trial))
    monkeypatch.setitem(ADAPTORS, "toy", replace(ADAPTORS["toy"], exports=("onnx",)))
    job = toy_job.write_job(tmp_path, halved((5.0,) * 4), deployment={"runtimes": ["onnxrt"]})
    outcome = tune(job)
    assert outcome.best.plan.is_rival
    assert exported[0].plan.precisions
    assert any("exported was the nearest quantized plan" in note for note in outcome.notes)
