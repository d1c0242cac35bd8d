from dataclasses import replace

import pytest
from drawn_core import int8
from hypothesis import given
from hypothesis import strategies as st

from autoq.core.interval import Interval
from autoq.core.objective import Quantity
from autoq.core.plan import FP32_PLAN, Plan, Proposal
from autoq.core.trial import Latency, MetricScore, Trial, TrialState
from autoq.tuning.front import FrontPoint, front

BOTH = (Quantity.LATENCY, Quantity.SIZE)
SCORE = MetricScore("top1", 0.9, 0.9, Interval(0.0, 0.0, 0.0), 0.01, True, 100)


def trial(number: int, ratio: float, size: int, plan: Plan | None = None) -> Trial:
    plan = plan if plan is not None else Plan({f"op{number}": int8()})
    latency = Latency(ratio, 1.0, Interval(ratio, ratio, ratio), 10)
    return Trial(number, Proposal(plan), TrialState.COMPLETE, (SCORE,), latency, size, full=True)


BASE = trial(0, 1.0, 1000, FP32_PLAN)


def numbers(*trials: Trial, quantities=BOTH) -> list[int]:
    return [p.number for p in front([BASE, *trials], quantities, BASE)]


def test_what_trades_one_for_the_other_is_all_on_the_front() -> None:
    assert numbers(trial(1, 0.5, 700), trial(2, 0.8, 300)) == [1, 2]


def test_what_is_worse_in_both_is_not_on_the_front() -> None:
    assert numbers(trial(1, 0.5, 300), trial(2, 0.6, 400)) == [1]


def test_what_fp32_beats_is_not_on_the_front() -> None:
    assert numbers(trial(1, 1.1, 1000)) == []


def test_a_smaller_but_slower_plan_is_on_the_front() -> None:
    assert numbers(trial(1, 1.2, 300)) == [1]


def test_what_was_not_accepted_is_left_out() -> None:
    lossy = trial(1, 0.5, 300).with_(scores=(replace(SCORE, met=False),))
    assert numbers(lossy, trial(2, 0.6, 400)) == [2]


def test_an_estimated_latency_is_no_measurement() -> None:
    guessed = trial(1, 0.5, 300)
    assert guessed.latency is not None
    assert numbers(guessed.with_(latency=replace(guessed.latency, estimated=True))) == []


def test_an_estimated_latency_does_not_matter_where_only_size_counts() -> None:
    guessed = trial(1, 0.5, 300)
    assert guessed.latency is not None
    assert numbers(guessed.with_(latency=replace(guessed.latency, estimated=True)), quantities=(Quantity.SIZE,)) == [1]


def test_unmeasured_memory_leaves_a_plan_out() -> None:
    assert numbers(trial(1, 0.5, 300), quantities=(Quantity.LATENCY, Quantity.MEMORY)) == []


def test_of_one_plan_the_full_score_decides() -> None:
    early = trial(1, 0.5, 300).with_(full=False, decided=True)
    full = trial(2, 0.5, 300, early.plan).with_(scores=(replace(SCORE, met=False),))
    assert numbers(early, full) == []


def test_equal_plans_are_shown_once() -> None:
    assert numbers(trial(1, 0.5, 300), trial(2, 0.5, 300)) == [1]


def test_ratios_are_relative_to_fp32() -> None:
    point = front([trial(1, 0.5, 300)], BOTH, BASE)[0]
    assert point.ratios == ((Quantity.LATENCY, 0.5), (Quantity.SIZE, pytest.approx(0.3)))


def test_a_point_survives_json() -> None:
    point = FrontPoint(3, ((Quantity.LATENCY, 0.5), (Quantity.SIZE, 0.3)))
    assert FrontPoint.from_json(point.to_json()) == point


POINTS = st.lists(st.tuples(st.floats(0.1, 1.5), st.integers(100, 1500)), max_size=20)


@given(POINTS)
def test_no_point_of_the_front_beats_another(points: list[tuple[float, int]]) -> None:
    found = front([trial(i, *p) for i, p in enumerate(points, 1)], BOTH, BASE)
    values = [tuple(r for _, r in p.ratios) for p in found]
    assert not [(a, b) for a in values for b in values if a != b and a[0] <= b[0] and a[1] <= b[1]]


@given(POINTS)
def test_what_is_left_out_is_beaten(points: list[tuple[float, int]]) -> None:
    found = front([trial(i, *p) for i, p in enumerate(points, 1)], BOTH, BASE)
    values = [(1.0, 1.0), *(tuple(r for _, r in p.ratios) for p in found)]
    assert all(any(v[0] <= ratio and v[1] <= size / 1000 for v in values) for ratio, size in points)
