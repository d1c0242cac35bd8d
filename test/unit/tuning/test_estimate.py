"""Latency between measured plans."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoq.core.capability import Recipe
from autoq.core.interval import Interval
from autoq.core.plan import FP32_PLAN, Plan, Proposal
from autoq.core.space import Space
from autoq.core.strategy import Costs
from autoq.core.trial import Latency, Trial, TrialState
from autoq.testing.toy import INT8, ToyAdaptor, ToyModel, ToyOp
from autoq.tuning.estimate import Estimator

SAVINGS = (0.004, 0.002, 0.001, 0.001)
MODEL = ToyModel(tuple(ToyOp(f"op{i}") for i in range(4)))
SPACE = Space.of(ToyAdaptor().capabilities(MODEL))
COSTS = Costs({f"op{i}": 2 * s for i, s in enumerate(SAVINGS)}, {f"op{i}": s for i, s in enumerate(SAVINGS)})
ESTIMATOR = Estimator(SPACE, COSTS)
HALF = (Recipe("bf16"),)


def plan(*ops: int, recipes=()) -> Plan:
    return Plan({f"op{i}": INT8 for i in ops}, recipes)


def measured(found: Plan, ratio: float, *, estimated: bool = False) -> Trial:
    latency = Latency(ratio, 1.0, Interval(ratio, ratio, ratio), 10, estimated)
    return Trial(1, Proposal(found), TrialState.COMPLETE, latency=latency)


BASELINE = measured(FP32_PLAN, 1.0)
FULL = measured(plan(0, 1, 2, 3), 0.2)


def ratio_of(found: Plan, *trials: Trial) -> float:
    latency = ESTIMATOR.estimate(found, BASELINE, [BASELINE, *trials])
    assert latency is not None
    assert latency.estimated
    return latency.ratio.value


def test_by_the_share_of_the_seconds_saved():
    assert ratio_of(plan(0), FULL) == pytest.approx(1 - 0.8 * 0.5)


@given(st.sets(st.integers(0, 3), min_size=1))
def test_more_ops_are_never_slower(ops):
    for more in range(4):
        assert ratio_of(plan(*ops, more), FULL) <= ratio_of(plan(*ops), FULL) + 1e-12


def test_measured_plans_lie_on_the_line():
    part = measured(plan(0, 1), 0.3)
    assert ratio_of(plan(0, 1), FULL, part) == pytest.approx(0.3)
    assert ratio_of(plan(0, 1, 2, 3), FULL, part) == pytest.approx(0.2)


def test_estimates_are_no_basis_for_estimates():
    guess = measured(plan(0, 1), 0.9, estimated=True)
    assert ratio_of(plan(0, 1), FULL, guess) == pytest.approx(1 - 0.8 * 0.75)


def test_recipes_have_a_line_of_their_own():
    trials = [FULL, measured(Plan({}, HALF), 0.6), measured(plan(0, 1, 2, 3, recipes=HALF), 0.1)]
    assert ratio_of(plan(0, recipes=HALF), *trials) == pytest.approx(0.35)


def test_nothing_without_a_measured_plan_under_the_same_recipes():
    assert ESTIMATOR.estimate(plan(0, recipes=HALF), BASELINE, [BASELINE, FULL]) is None


def test_the_first_plan_is_measured_whatever_it_is():
    assert ESTIMATOR.deserves_measuring(plan(3), [BASELINE])
    assert ESTIMATOR.deserves_measuring(plan(3, recipes=HALF), [BASELINE, FULL])


def test_a_second_of_its_kind_is_not():
    assert not ESTIMATOR.deserves_measuring(plan(0, 1, 2), [BASELINE, FULL])


def test_without_known_savings_ops_are_counted():
    blind = Estimator(SPACE, Costs({f"op{i}": 1.0 for i in range(4)}, {f"op{i}": 1.0 for i in range(4)}))
    latency = blind.estimate(plan(0), BASELINE, [BASELINE, FULL])
    assert latency.ratio.value == pytest.approx(1 - 0.8 * 0.25)


def test_no_estimate_is_negative():
    assert ratio_of(plan(0, 1, 2, 3), measured(plan(3), 0.5)) > 0
