import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoq.core.plan import Plan, Proposal
from autoq.core.space import Space
from autoq.strategies.cut_points import CutPoints, ladder_of
from autoq.strategies.layout import Layout
from autoq.strategies.points import Point
from autoq.strategies.regression import Coefficients
from autoq.testing.strategy_contract import toy_trial
from autoq.testing.toy import ToyAdaptor, ToyModel, ToyOp
from autoq.testing.toy_model import ToyVariant

INT8, PER_TENSOR, DYNAMIC, FLOAT = range(4)


def model_of(count):
    variants = (ToyVariant("per_tensor", 0.4, 0.0008), ToyVariant("dynamic", 0.02, 0.0015))
    return ToyModel(tuple(ToyOp(f"op{i}", noise=0.1, variants=variants) for i in range(count)))


def cuts_of(count, order=None):
    model = model_of(count)
    layout = Layout(Space.of(ToyAdaptor().capabilities(model)))
    ladder = [dict.fromkeys(layout.ids, level) for level in (PER_TENSOR, INT8, DYNAMIC)]
    return CutPoints.of(layout, ladder, order or layout.ids, 1)


def chosen(cuts, values):
    return list(cuts.layout.choices(cuts.positions(values)).values())


def test_cuts_part_the_order_into_stretches():
    assert chosen(cuts_of(8), cuts_of(8).values([0.25, 0.5, 0.75])) == [1, 1, 0, 0, 2, 2, 3, 3]


def test_the_order_decides_who_gets_which():
    order = [f"op{i}" for i in reversed(range(4))]
    cuts = cuts_of(4, order)
    assert chosen(cuts, cuts.values([0.5, 0.5, 0.5])) == [FLOAT, FLOAT, PER_TENSOR, PER_TENSOR]


@pytest.mark.parametrize(("level", "choice"), [(0, PER_TENSOR), (1, INT8), (2, DYNAMIC), (3, FLOAT)])
def test_a_level_is_a_uniform_plan(level, choice):
    cuts = cuts_of(5)
    assert chosen(cuts, cuts.at_level(level)) == [choice] * 5


def test_regions_are_in_float():
    cuts = cuts_of(10)
    quantized = [1.0, 1.0, 1.0]
    assert chosen(cuts, cuts.values(quantized, first=0.2)) == [FLOAT] * 2 + [PER_TENSOR] * 8
    assert chosen(cuts, cuts.values(quantized, last=0.3)) == [PER_TENSOR] * 7 + [FLOAT] * 3
    middle = {**cuts.values(quantized), "stretch from": 0.4, "stretch": 0.2}
    assert chosen(cuts, middle) == [PER_TENSOR] * 4 + [FLOAT] * 2 + [PER_TENSOR] * 4


@given(st.integers(1, 12), st.data())
def test_every_point_is_a_plan(count, data):
    cuts = cuts_of(count)
    values = {n: data.draw(st.floats(p.low, p.high)) for n, p in cuts.parameters.items()}
    assert all(0 <= choice <= FLOAT for choice in chosen(cuts, values))


@given(st.integers(2, 6), st.lists(st.floats(0.01, 1.0), min_size=6, max_size=6), st.floats(0.1, 4.0))
def test_predicted_cuts_are_the_cheapest_within_the_budget(count, losses, budget):
    cuts = cuts_of(count)
    loss = np.concatenate([np.array([1.0, 4.0, 0.25, 0.0]) * v for v in losses[:count]])
    cost = np.tile([-0.7, -0.75, -0.5, 0.0], count)
    found = cuts.predicted(Coefficients(cost, np.zeros(0)), Coefficients(loss, np.zeros(0)), budget)
    assert found is not None
    positions = cuts.positions(found)
    assert loss[positions].sum() <= budget + 1e-9
    grid = np.arange(count + 1) / count
    for a in grid:
        for b in grid[grid >= a]:
            for c in grid[grid >= b]:
                other = cuts.positions(cuts.values([a, b, c]))
                if loss[other].sum() <= budget - 1e-9:
                    assert cost[positions].sum() <= cost[other].sum() + 1e-9


def test_nothing_fits_an_impossible_budget():
    cuts = cuts_of(3)
    ones = Coefficients(np.ones(12), np.zeros(0))
    assert cuts.predicted(ones, ones, 0.5) is None


def points(**uniform):
    """Points of plans with this cost and this divergence."""
    model = model_of(1)
    trial = toy_trial(model, 1, Proposal(Plan()))
    return [
        Point({"op0": i}, trial.with_(objective=cost, divergence=loss))
        for i, (cost, loss) in enumerate(uniform.values())
    ]


def test_the_ladder_leads_from_fast_to_accurate():
    found = ladder_of(points(accurate=(0.5, 0.1), fast=(0.25, 4.0), middle=(0.35, 1.0)))
    assert [c["op0"] for c in found] == [1, 2, 0]


def test_what_is_slower_and_less_accurate_is_left_out():
    found = ladder_of(points(fast=(0.25, 1.0), bad=(0.5, 2.0)))
    assert [c["op0"] for c in found] == [0]


def test_of_plans_about_as_fast_the_most_accurate_counts():
    found = ladder_of(points(minmax=(0.30, 1.0), percentile=(0.301, 0.2)))
    assert [c["op0"] for c in found] == [1]


def test_a_long_ladder_keeps_both_ends():
    found = ladder_of(points(a=(0.2, 5.0), b=(0.3, 4.0), c=(0.4, 3.0), d=(0.5, 2.0), e=(0.6, 1.0)))
    assert [c["op0"] for c in found] == [0, 2, 4]
