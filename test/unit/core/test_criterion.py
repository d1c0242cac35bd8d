import math

import pytest
from drawn_core import strict_json
from hypothesis import assume, example, given
from hypothesis import strategies as st

from autoq.core.criterion import Criterion, Guarantee, Tolerance
from autoq.core.errors import ConfigError
from autoq.core.interval import Interval

numbers = st.floats(-1e6, 1e6)
limits = st.floats(0, 10)
directions = st.booleans()


def point(loss: float) -> Interval:
    return Interval(loss, loss, loss)


def decides(criterion: Criterion, score: float, baseline: float) -> bool:
    return criterion.met(point(criterion.loss(score, baseline)))


@given(numbers, limits, directions, st.sampled_from(Tolerance))
def test_an_equal_score_loses_nothing(baseline: float, limit: float, higher: bool, tolerance: Tolerance) -> None:
    criterion = Criterion("m", limit, tolerance, higher)
    assert criterion.loss(baseline, baseline) == 0
    assert decides(criterion, baseline, baseline)


@given(numbers, numbers, limits, directions, st.sampled_from(Tolerance))
def test_a_better_score_is_always_accepted(
    baseline: float, score: float, limit: float, higher: bool, tolerance: Tolerance
) -> None:
    better = max(baseline, score) if higher else min(baseline, score)
    assert decides(Criterion("m", limit, tolerance, higher), better, baseline)


@given(numbers, numbers, st.sampled_from(Tolerance))
def test_directions_are_mirror_images(baseline: float, score: float, tolerance: Tolerance) -> None:
    higher, lower = (Criterion("m", 0.01, tolerance, h) for h in (True, False))
    assert higher.loss(score, baseline) == lower.loss(-score, -baseline)
    assert higher.loss(score, baseline) == -lower.loss(score, baseline)


@given(numbers, st.floats(0, 1), directions, st.sampled_from(Tolerance))
@example(0.8, 0.01, True, Tolerance.RELATIVE)
@example(-0.3, 0.1, False, Tolerance.RELATIVE)
def test_a_loss_of_exactly_the_limit_is_accepted(
    baseline: float, limit: float, higher: bool, tolerance: Tolerance
) -> None:
    assume(baseline == 0 or abs(baseline) > 1e-3)
    criterion = Criterion("m", limit, tolerance, higher)
    drop = criterion.allowed_drop(baseline)
    assert decides(criterion, baseline - drop if higher else baseline + drop, baseline)


@given(st.floats(1e-3, 1e6), st.floats(1e-3, 1), directions, st.booleans())
def test_a_loss_beyond_the_limit_is_not(size: float, limit: float, higher: bool, negative: bool) -> None:
    baseline = -size if negative else size
    criterion = Criterion("m", limit, Tolerance.RELATIVE, higher)
    drop = 1.001 * criterion.allowed_drop(baseline)
    assert not decides(criterion, baseline - drop if higher else baseline + drop, baseline)


@given(st.floats(-1e6, -1e-3))
def test_a_negative_baseline_loses_by_going_down(baseline: float) -> None:
    criterion = Criterion("log_likelihood", 0.1)
    assert criterion.loss(baseline * 1.2, baseline) == pytest.approx(0.2)
    assert criterion.loss(baseline * 0.8, baseline) == pytest.approx(-0.2)


def test_a_zero_baseline_allows_no_relative_loss_at_all() -> None:
    criterion = Criterion("mse", 0.5, higher_is_better=False)
    assert criterion.loss(1e-12, 0.0) == math.inf
    assert criterion.loss(-1e-12, 0.0) == -math.inf
    assert not decides(criterion, 1e-12, 0.0)
    assert decides(criterion, 0.0, 0.0)


def test_a_zero_baseline_allows_an_absolute_loss() -> None:
    assert decides(Criterion("mse", 0.5, Tolerance.ABSOLUTE, higher_is_better=False), 0.5, 0.0)


@pytest.mark.parametrize("baseline", [0.0, 0.5, math.nan, math.inf])
@pytest.mark.parametrize("guarantee", Guarantee)
@pytest.mark.parametrize("score", [math.nan, -math.nan, math.copysign(math.nan, -1.0)])
def test_a_score_that_is_not_a_number_is_never_accepted(baseline: float, guarantee: Guarantee, score: float) -> None:
    assert not decides(Criterion("m", 0.1, guarantee=guarantee), score, baseline)


def test_population_demands_the_upper_bound() -> None:
    loss = Interval(0.005, -0.01, 0.02)
    assert Criterion("m", 0.01).met(loss)
    assert not Criterion("m", 0.01, guarantee=Guarantee.POPULATION).met(loss)
    assert Criterion("m", 0.02, guarantee=Guarantee.POPULATION).met(loss)


def test_population_is_not_met_by_an_unknown_bound() -> None:
    assert not Criterion("m", 0.01, guarantee=Guarantee.POPULATION).met(Interval(0.0, math.nan, math.nan))


@given(st.floats(-1, 1), st.floats(0, 1), limits)
def test_population_is_never_easier_than_sample(loss: float, margin: float, limit: float) -> None:
    interval = Interval(loss, loss - margin, loss + margin)
    if Criterion("m", limit, guarantee=Guarantee.POPULATION).met(interval):
        assert Criterion("m", limit).met(interval)


@pytest.mark.parametrize("limit", [-0.01, math.nan, math.inf])
def test_limits_are_finite_and_not_negative(limit: float) -> None:
    with pytest.raises(ConfigError, match="accuracy limit"):
        Criterion("m", limit)


@pytest.mark.parametrize("confidence", [0.5, 1.0, math.nan])
def test_confidence_lies_between_a_half_and_one(confidence: float) -> None:
    with pytest.raises(ConfigError, match="confidence"):
        Criterion("m", confidence=confidence)


def test_label_says_the_limit_in_its_unit() -> None:
    assert Criterion("top1", 0.01).label == "top1: at most 1 % loss (relative)"
    assert Criterion("mse", 0.25, Tolerance.ABSOLUTE).label == "mse: at most 0.25 loss (absolute)"


@given(limits, st.sampled_from(Tolerance), directions, st.floats(0.51, 0.99), st.sampled_from(Guarantee))
def test_criterion_survives_json(
    limit: float, tolerance: Tolerance, higher: bool, confidence: float, guarantee: Guarantee
) -> None:
    criterion = Criterion("m", limit, tolerance, higher, confidence, guarantee)
    assert Criterion.from_json(strict_json(criterion.to_json())) == criterion
