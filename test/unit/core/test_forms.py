"""What core says of compiled and estimated things survives JSON, and old data are read as before."""

import json

from autoq.core.capability import Recipe
from autoq.core.interval import Interval
from autoq.core.plan import FP32_PLAN, Plan, Proposal
from autoq.core.space import Space
from autoq.core.task import Evaluate, Evaluated, Split, answer_from_json, answer_to_json, task_from_json, task_to_json
from autoq.core.trial import Latency, Trial, TrialState
from autoq.testing.toy import INT8, ToyAdaptor, ToyModel, ToyOp

HALF = ToyModel((ToyOp("a"), ToyOp("b")), half_speed=0.5)
SPACE = Space.of(ToyAdaptor().capabilities(HALF))
BF16 = (Recipe("bf16"),)


def again(data):
    return json.loads(json.dumps(data))


def test_a_deployed_proposal():
    proposal = Proposal(FP32_PLAN, deployed=True)
    assert Proposal.from_json(again(proposal.to_json())) == proposal


def test_an_estimated_latency_and_a_trial_on_a_reference():
    latency = Latency(0.5, 1.0, Interval(0.5, 0.4, 0.6), 0, estimated=True)
    trial = Trial(1, Proposal(FP32_PLAN), TrialState.COMPLETE, latency=latency, reference=True)
    assert Trial.from_json(again(trial.to_json())) == trial


def test_data_of_before_are_measured_and_of_what_is_deployed():
    trial = Trial(1, Proposal(FP32_PLAN), TrialState.COMPLETE, latency=Latency(1.0, 1.0, Interval(1, 1, 1), 9))
    old = again(trial.to_json())
    del old["reference"], old["latency"]["estimated"], old["proposal"]["deployed"]
    assert Trial.from_json(old) == trial


def test_tasks_and_answers():
    task = Evaluate(FP32_PLAN, Split.TUNE, 0, 5, deployed=True)
    assert task_from_json(again(task_to_json(task))) == task
    answer = answer_from_json(again(answer_to_json(Evaluated({}, {}, 1, FP32_PLAN, reference=True))))
    assert answer.reference


def test_a_rival_is_float_under_recipes():
    assert Plan({}, BF16).is_rival
    assert not FP32_PLAN.is_rival
    assert not Plan({"a": INT8}, BF16).is_rival


def test_a_space_multiplies_by_its_recipes():
    assert SPACE.recipe_sets == ((), BF16)
    assert SPACE.size == 8


def test_a_space_contains_plans_under_its_recipes_only():
    assert Plan({"a": INT8}, BF16) in SPACE
    assert Plan({"a": INT8}, (Recipe("other"),)) not in SPACE
    assert Plan({"c": INT8}) not in SPACE


def test_a_space_survives_json_with_its_recipes():
    assert Space.from_json(again(SPACE.to_json())) == SPACE
