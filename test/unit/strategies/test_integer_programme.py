"""The programme against all plans of small spaces."""

import itertools

import numpy as np
import pytest
from drawn_core import int8
from hypothesis import given, settings
from hypothesis import strategies as st

from autoq.core.capability import Capability, CapabilityTable, Op
from autoq.core.precision import BF16, FP32, Granularity
from autoq.core.space import Space
from autoq.strategies.layout import Layout
from autoq.strategies.programme import Programme
from autoq.strategies.regression import Coefficients

TWO = (int8(weight=Granularity.PER_CHANNEL), int8(weight=Granularity.PER_TENSOR), FP32)
HALF = (int8(weight=Granularity.PER_CHANNEL), BF16, FP32)


def layout_of(ops: int, precisions=TWO, chords=()) -> Layout:
    rows = tuple(Capability(Op(f"op{i}", "Conv"), precisions) for i in range(ops))
    edges = [(f"op{i}", f"op{i + 1}") for i in range(ops - 1)] + [(f"op{a}", f"op{b}") for a, b in chords]
    return Layout(Space.of(CapabilityTable(rows, tuple(edges))))


def drawn(layout: Layout, seed: int) -> tuple[Coefficients, Coefficients]:
    rng = np.random.default_rng(seed)
    size, edges = len(layout.palette), len(layout.first)
    cost = np.where(layout.reference, 0.0, -rng.lognormal(0, 1, size))
    loss = np.where(layout.reference, 0.0, rng.lognormal(0, 1.5, size))
    return Coefficients(cost, rng.uniform(0, 0.5, edges)), Coefficients(loss, rng.uniform(0, 0.2, edges))


def every_plan(layout: Layout):
    spans = (range(a, b) for a, b in itertools.pairwise(layout.offsets.tolist()))
    return (layout.row(np.array(plan, np.intp)) for plan in itertools.product(*spans))


def least(layout: Layout, cost: Coefficients, loss: Coefficients, budget: float) -> float:
    return min(cost.of(row) for row in every_plan(layout) if loss.of(row) <= budget)


def nothing_forbidden(layout: Layout):
    return np.zeros(len(layout.palette), bool)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 6), st.floats(0, 1), st.sampled_from([TWO, HALF]))
def test_it_finds_the_cheapest_plan_within_the_budget(seed: int, ops: int, share: float, precisions) -> None:
    layout = layout_of(ops, precisions, [(0, ops - 1)] if ops > 2 else [])
    cost, loss = drawn(layout, seed)
    budget = share * float(loss.units.sum())
    found = Programme(layout, cost, loss, nothing_forbidden(layout)).solve(budget)
    assert found is not None
    known = least(layout, cost, loss, budget)
    assert found.cost <= known + 2e-3 * abs(known) + 1e-9


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.floats(0, 1))
def test_what_it_says_of_its_plan_is_so(seed: int, share: float) -> None:
    layout = layout_of(40)
    cost, loss = drawn(layout, seed)
    budget = share * float(loss.units.sum())
    found = Programme(layout, cost, loss, nothing_forbidden(layout)).solve(budget)
    assert found is not None
    row = layout.row(found.positions)
    assert (found.cost, found.loss) == (pytest.approx(cost.of(row)), pytest.approx(loss.of(row)))
    assert found.loss <= budget * (1 + 1e-6) + 1e-9


def test_a_forbidden_precision_is_not_taken() -> None:
    layout = layout_of(4)
    cost, loss = drawn(layout, 0)
    forbidden = layout.quantized & (layout.unit == 2)
    found = Programme(layout, cost, loss, forbidden).solve(np.inf)
    assert found is not None
    assert not layout.quantized[found.positions[2]]


def test_a_plan_that_was_tried_gives_way_to_the_next_best() -> None:
    layout = layout_of(6, (TWO[0], FP32))
    cost, loss = drawn(layout, 1)
    programme = Programme(layout, cost, loss, nothing_forbidden(layout))
    first = programme.solve(3.0)
    assert first is not None
    second = programme.solve(3.0, [first.positions])
    rest = (r for r in every_plan(layout) if loss.of(r) <= 3.0 and not np.array_equal(r.positions, first.positions))
    assert second is not None
    assert second.cost == pytest.approx(min(cost.of(row) for row in rest), rel=2e-3)


def test_a_dear_conversion_keeps_an_isolated_op_in_float() -> None:
    layout = layout_of(3, (TWO[0], FP32))
    gain = np.where(layout.quantized, -1.0, 0.0)
    bars = np.where(layout.quantized & (layout.unit != 1), 5.0, 0.0)
    cost, loss = Coefficients(gain, np.full(len(layout.first), 0.6)), Coefficients(bars, np.zeros(len(layout.first)))
    found = Programme(layout, cost, loss, nothing_forbidden(layout)).solve(1.0)
    assert found is not None
    assert not layout.quantized[found.positions].any()


def test_a_budget_that_no_plan_meets_gives_none() -> None:
    layout = layout_of(3)
    cost, loss = drawn(layout, 2)
    assert Programme(layout, cost, loss, nothing_forbidden(layout)).solve(-1.0) is None


def test_a_large_programme_comes_near_the_relaxation() -> None:
    """Two percent of the bound, while only 24 units are decided in integers."""
    from autoq.strategies.branch_and_bound import relax

    layout = layout_of(200)
    cost, loss = drawn(layout, 3)
    programme = Programme(layout, cost, loss, nothing_forbidden(layout))
    budget = 0.1 * float(loss.units.sum())
    problem = programme.problem
    shares = relax(problem, np.ones(len(problem.unit), bool), budget)
    found = programme.solve(budget)
    assert found is not None
    assert shares is not None
    assert found.cost <= 0.98 * problem.bound(shares)
