"""Searches end in bounded time, and cope with divergences that are no numbers."""

import math
from typing import Any

import numpy as np
import pytest

from autoq.core.inquiry import Inquiry
from autoq.core.plan import FP32_PLAN, Done, Proposal
from autoq.core.registry import strategy_factory
from autoq.core.space import Space
from autoq.core.strategy import Costs
from autoq.strategies import branch_and_bound
from autoq.strategies.branch_and_bound import Problem, branch, relax
from autoq.strategies.model_search import usable
from autoq.testing.strategy_contract import toy_findings, toy_model, toy_trial
from autoq.testing.toy import ToyAdaptor


def test_branch_and_bound_gives_up_where_relaxations_fit_and_no_choice_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """At most one of 20 units may lose something, and each such plan was tried; halves of two units still fit."""
    units, solved = 20, 0
    none, no_loss = np.zeros(0, np.intp), np.zeros(0)
    unit, loss = np.repeat(np.arange(units), 2), np.tile([0.0, 1.0], units)
    problem = Problem(units, unit, np.zeros(2 * units, np.intp), 1 - loss, loss, none, none, no_loss, no_loss)
    lossless = 2 * np.arange(units)
    tried = [lossless, *(lossless + (np.arange(units) == u) for u in range(units))]

    def counted(*given: Any) -> Any:
        nonlocal solved
        solved += 1
        return relax(*given)

    monkeypatch.setattr(branch_and_bound, "relax", counted)
    assert branch(problem, 1.0, tried, 2) is None
    assert 2 < solved <= 20


def test_findings_that_no_model_could_square_are_brought_into_range() -> None:
    found = usable({"broken": math.inf, "unknown": math.nan, "huge": 1e300, "odd": -1.0, "usual": 0.5})
    assert found == {"broken": 1e6, "huge": 1e6, "odd": 0.0, "usual": 0.5}
    assert usable({"broken": math.inf, "usual": 0.5}) == {"broken": 5.0, "usual": 0.5}


def test_findings_of_nothing_but_zero_say_nothing() -> None:
    assert usable({"a": 0.0, "b": -1.0, "c": math.nan}) == {}


@pytest.mark.parametrize("name", ["auto", "basic", "bayesian", "ilp", "mse", "mse_v2", "conservative"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_divergences_that_are_no_numbers_do_not_stop_a_search(name: str, value: float) -> None:
    model = toy_model()
    strategy = strategy_factory(name)(
        Space.of(ToyAdaptor().capabilities(model)),
        Costs({o.id: o.float_seconds for o in model.ops}, {o.id: o.int8_seconds for o in model.ops}, 100, 0.001, True),
        0,
    )
    strategy.tell(toy_trial(model, 0, Proposal(FP32_PLAN)))
    accepted, number = 0, 0
    while not isinstance(asked := strategy.ask(), Done) and number < 60:
        if isinstance(asked, Inquiry):
            strategy.tell(toy_findings(model, asked))
            continue
        assert isinstance(asked, Proposal)
        number += 1
        trial = toy_trial(model, number, asked).with_(divergence=value)
        accepted += trial.accepted
        strategy.tell(trial)
    assert accepted
