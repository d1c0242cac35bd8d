import math

import pytest
from drawn_core import strict_json
from hypothesis import given
from hypothesis import strategies as st

from autoq.core.budget import Budget
from autoq.core.errors import ConfigError
from autoq.core.objective import Objective, Quantity

weights = st.dictionaries(st.sampled_from(Quantity), st.floats(0.01, 100), min_size=1).map(lambda d: tuple(d.items()))


@given(weights)
def test_fp32_costs_one(pairs: tuple[tuple[Quantity, float], ...]) -> None:
    assert Objective(pairs).value(dict.fromkeys(Quantity, 1.0)) == pytest.approx(1)


@given(weights, st.floats(0.1, 10))
def test_only_proportions_of_weights_count(pairs: tuple[tuple[Quantity, float], ...], factor: float) -> None:
    ratios = {quantity: 0.5 + i for i, quantity in enumerate(Quantity)}
    scaled = Objective(tuple((q, w * factor) for q, w in pairs))
    assert scaled.value(ratios) == pytest.approx(Objective(pairs).value(ratios))


def test_value_is_the_weighted_mean() -> None:
    both = Objective(((Quantity.LATENCY, 3.0), (Quantity.SIZE, 1.0)))
    assert both.value({Quantity.LATENCY: 0.4, Quantity.SIZE: 0.8}) == pytest.approx(0.5)


@pytest.mark.parametrize("ratios", [{}, {Quantity.SIZE: None, Quantity.LATENCY: 1.0}])
def test_value_is_unknown_while_a_quantity_is(ratios: dict[Quantity, float | None]) -> None:
    assert Objective(((Quantity.LATENCY, 1.0), (Quantity.SIZE, 1.0))).value(ratios) is None


@pytest.mark.parametrize("weight", [0.0, -1.0, math.nan, math.inf])
def test_weights_are_positive_and_finite(weight: float) -> None:
    with pytest.raises(ConfigError, match="positive, finite weight"):
        Objective(((Quantity.LATENCY, weight),))


def test_an_objective_names_a_quantity_once() -> None:
    with pytest.raises(ConfigError, match="twice"):
        Objective(((Quantity.LATENCY, 1.0), (Quantity.LATENCY, 2.0)))


def test_an_objective_names_something() -> None:
    with pytest.raises(ConfigError, match="at least one"):
        Objective(())


@given(weights)
def test_objective_survives_json(pairs: tuple[tuple[Quantity, float], ...]) -> None:
    objective = Objective(pairs)
    assert Objective.from_json(strict_json(objective.to_json())) == objective
    assert objective.quantities == tuple(q for q, _ in pairs)


def test_an_open_budget_is_never_spent() -> None:
    assert Budget().spent(10**9, 1e12, passed=True) is None


@pytest.mark.parametrize(
    ("budget", "before", "after"),
    [
        (Budget(max_trials=5), (4, 1e9, True), (5, 0.0, False)),
        (Budget(timeout=60), (10**6, 59.9, True), (0, 60.0, False)),
        (Budget(first_pass=True), (10**6, 1e9, False), (1, 0.0, True)),
    ],
)
def test_whatever_comes_first_ends_the_search(
    budget: Budget, before: tuple[int, float, bool], after: tuple[int, float, bool]
) -> None:
    assert budget.spent(*before) is None
    assert budget.spent(*after)


@pytest.mark.parametrize("trials", [0, -1])
def test_max_trials_is_at_least_one(trials: int) -> None:
    with pytest.raises(ConfigError, match="max_trials"):
        Budget(max_trials=trials)


@pytest.mark.parametrize("timeout", [0.0, -1.0, math.nan, math.inf])
def test_timeout_is_positive_and_finite(timeout: float) -> None:
    with pytest.raises(ConfigError, match="timeout"):
        Budget(timeout=timeout)


@given(st.none() | st.integers(1, 999), st.none() | st.floats(0.1, 1e6), st.booleans())
def test_budget_survives_json(trials: int | None, timeout: float | None, first_pass: bool) -> None:
    budget = Budget(trials, timeout, first_pass)
    assert Budget.from_json(strict_json(budget.to_json())) == budget
