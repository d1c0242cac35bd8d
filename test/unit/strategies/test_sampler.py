import logging

import optuna
import pytest

from autoq.core.interval import Interval
from autoq.core.plan import FP32_PLAN, Proposal
from autoq.core.trial import Failure, FailureKind, MetricScore, Trial, TrialState
from autoq.strategies.sampler import Choice, Range, Sampler

PARAMETERS = {"a": Range(0.0, 1.0), "b": Choice(3)}


def trial(cost, loss):
    score = MetricScore("accuracy", 0.9, 0.9, Interval(loss, loss, loss), 1.0, loss <= 1.0, 100)
    return Trial(1, Proposal(FP32_PLAN), TrialState.COMPLETE, (score,), objective=cost, full=True)


def search(sampler, cost, loss, count=60):
    found = []
    for _ in range(count):
        values = sampler.suggest()
        found.append(values)
        sampler.tell(values, trial(cost(values), loss(values)))
    return found


def test_the_same_seed_gives_the_same_suggestions():
    first, again = (search(Sampler(PARAMETERS, 3), lambda v: v["a"], lambda v: 0.0, 20) for _ in range(2))
    assert first == again


def test_suggestions_lie_within_their_bounds():
    for values in search(Sampler(PARAMETERS, 0), lambda v: v["a"], lambda v: 0.0, 30):
        assert 0.0 <= values["a"] <= 1.0
        assert values["b"] in (0, 1, 2)


def test_it_comes_to_favour_what_costs_little_within_the_limit():
    found = search(Sampler(PARAMETERS, 1), lambda v: v["a"] + v["b"], lambda v: 2.0 if v["a"] < 0.4 else 0.0)
    late = found[-20:]
    assert sum(v["b"] == 0 for v in late) > 10
    assert sum(0.4 <= v["a"] < 0.7 for v in late) > 10


def test_a_told_point_need_not_be_suggested():
    sampler = Sampler(PARAMETERS, 2, startup=5)
    for i in range(20):
        sampler.tell({"a": 0.9, "b": i % 3}, trial(0.1 if i % 3 == 1 else 1.0, 0.0))
    assert sum(sampler.suggest()["b"] == 1 for _ in range(20)) > 10


def test_a_failed_trial_is_avoided():
    sampler = Sampler({"b": Choice(2)}, 0, startup=2)
    failed = Trial(1, Proposal(FP32_PLAN), TrialState.CRASHED, failure=Failure(FailureKind.CRASH, "killed"))
    for _ in range(10):
        sampler.tell({"b": 0}, failed)
        sampler.tell({"b": 1}, trial(0.9, 0.0))
    assert sum(sampler.suggest()["b"] == 1 for _ in range(20)) > 10


def test_optuna_says_nothing_and_keeps_its_level(caplog):
    before = optuna.logging.get_verbosity()
    optuna.logging.enable_propagation()
    try:
        sampler = Sampler(PARAMETERS, 0)
        sampler.tell(sampler.suggest(), trial(0.5, 0.0))
    finally:
        optuna.logging.disable_propagation()
    assert optuna.logging.get_verbosity() == before
    assert not caplog.records
    assert not logging.getLogger("optuna.storages._in_memory").filters


@pytest.mark.parametrize("count", [1, 2])
def test_infinite_excess_can_be_told(count):
    sampler = Sampler({"b": Choice(count)}, 0)
    sampler.tell({"b": 0}, trial(float("inf"), float("nan")))
    assert sampler.suggest()["b"] in range(count)
