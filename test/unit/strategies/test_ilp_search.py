"""What the integer programme finds on toy models whose best plan is known."""

import numpy as np
import pytest

from autoq.core.errors import ConfigError
from autoq.core.inquiry import Findings, Inquiry
from autoq.core.plan import FP32_PLAN, Done, Proposal
from autoq.core.space import Space
from autoq.core.strategy import Costs
from autoq.core.trial import Failure, FailureKind, Trial, TrialState
from autoq.strategies.ilp import Ilp
from autoq.testing.strategy_contract import LIMIT, best_accepted, drive, toy_findings, toy_trial
from autoq.testing.toy import ToyAdaptor, ToyModel, ToyOp, best_plan


def model_of(ops: int, seed: int) -> ToyModel:
    rng = np.random.default_rng(seed)
    noise, seconds = rng.lognormal(0, 1.5, ops), rng.lognormal(0, 1, ops) * 1e-3
    noise *= 4 * LIMIT / noise.sum()
    made = (
        ToyOp(f"op{i}", noise=float(noise[i]), float_seconds=float(s), int8_seconds=float(s * rng.uniform(0.2, 0.6)))
        for i, s in enumerate(seconds)
    )
    return ToyModel(tuple(made), conversion_seconds=1e-4)


def searching(model: ToyModel, **options: int) -> Ilp:
    costs = Costs(
        {op.id: op.float_seconds for op in model.ops}, {op.id: op.int8_seconds for op in model.ops}, 100, 0.001, True
    )
    return Ilp(Space.of(ToyAdaptor().capabilities(model)), costs, 0, **options)


@pytest.mark.parametrize("seed", range(6))
def test_on_small_models_it_comes_within_two_percent_of_the_optimum(seed: int) -> None:
    model = model_of(12, seed)
    found = best_accepted(drive(searching(model), model, 60))
    assert model.seconds(found) <= 1.02 * model.seconds(best_plan(model, LIMIT))


def test_with_true_sensitivities_ten_trials_are_enough() -> None:
    model = model_of(12, 0)
    found = best_accepted(drive(searching(model), model, 10))
    assert model.seconds(found) <= 1.02 * model.seconds(best_plan(model, LIMIT))


def test_a_wide_model_needs_few_trials() -> None:
    model = model_of(150, 0)
    history = drive(searching(model), model, 20)
    half = sum(op.float_seconds for op in model.ops) * 0.7
    assert model.seconds(best_accepted(history)) < half


def test_every_unit_that_breaks_plans_is_found_and_named() -> None:
    model = ToyModel(tuple(ToyOp(f"op{i}", noise=0.01) for i in range(16)))
    search = searching(model)
    history = drive(search, model, 60, frozenset({"op3", "op11"}))
    assert set(best_accepted(history)) == {op.id for op in model.ops} - {"op3", "op11"}
    assert "op3, op11" in search.explanation


def test_it_gives_up_where_every_plan_fails() -> None:
    model = ToyModel(tuple(ToyOp(f"op{i}", noise=0.01) for i in range(40)))
    search = searching(model)
    search.tell(toy_trial(model, 0, Proposal(FP32_PLAN)))
    number = 0
    while not isinstance(asked := search.ask(), Done):
        if isinstance(asked, Inquiry):
            search.tell(toy_findings(model, asked))
            continue
        assert isinstance(asked, Proposal)
        number += 1
        assert number < 200
        search.tell(Trial(number, asked, TrialState.FAILED, failure=Failure(FailureKind.BUILD, "no kernel")))


def test_its_explanation_says_why_there_are_no_sensitivities() -> None:
    model = model_of(6, 0)
    search = searching(model)
    search.tell(toy_trial(model, 0, Proposal(FP32_PLAN)))
    asked = search.ask()
    assert isinstance(asked, Inquiry)
    search.tell(Findings(asked, reason="outputs cannot be compared"))
    number = 1
    while isinstance(asked := search.ask(), Proposal):
        search.tell(toy_trial(model, number, asked))
        number += 1
    assert "outputs cannot be compared" in search.explanation


def test_patience_must_be_positive() -> None:
    with pytest.raises(ConfigError, match="patience"):
        searching(model_of(3, 0), patience=0)
