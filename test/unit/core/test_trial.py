import math

import pytest
from drawn_core import any_float, intervals, latencies, scores, strict_json, trials
from hypothesis import given

from autoq.core.interval import Interval
from autoq.core.number import to_plain
from autoq.core.plan import FP32_PLAN, Proposal
from autoq.core.trial import Latency, MetricScore, Trial, TrialState


def trial(*losses: float, limit: float = 0.01, **changes: object) -> Trial:
    kept = tuple(MetricScore("m", 0.5, 0.5, Interval(loss, loss, loss), limit, loss <= limit, 100) for loss in losses)
    return Trial(1, Proposal(FP32_PLAN), TrialState.COMPLETE, kept, full=True).with_(**changes)


@given(trials())
def test_trial_survives_json(one: Trial) -> None:
    again = Trial.from_json(strict_json(one.to_json()))
    # NaN is not equal to itself, its text is.
    assert repr(again) == repr(one)


@given(scores())
def test_score_survives_json(score: MetricScore) -> None:
    assert repr(MetricScore.from_json(strict_json(score.to_json()))) == repr(score)


@given(latencies())
def test_latency_survives_json(latency: Latency) -> None:
    assert repr(Latency.from_json(strict_json(latency.to_json()))) == repr(latency)


@given(intervals())
def test_interval_survives_json(interval: Interval) -> None:
    assert repr(Interval.from_json(strict_json(interval.to_json()))) == repr(interval)


@given(any_float)
def test_every_number_survives_json(number: float) -> None:
    assert repr(float(strict_json(to_plain(number)))) == repr(number)


def test_an_infinite_loss_is_written_as_text() -> None:
    assert Interval(math.inf, -math.inf, math.nan).to_json() == {
        "value": "inf",
        "low": "-inf",
        "high": "nan",
        "confidence": 0.95,
    }


def test_a_trial_is_accepted_when_every_metric_holds_on_all_samples() -> None:
    assert trial(0.0, 0.01).accepted
    assert not trial(0.0, 0.02).accepted
    assert not trial(0.0, 0.01, full=False).accepted
    assert trial(0.0, 0.01, full=False).met


@pytest.mark.parametrize("state", [s for s in TrialState if s is not TrialState.COMPLETE])
def test_only_complete_trials_are_met(state: TrialState) -> None:
    assert not trial(0.0, state=state).met
    assert trial(0.0, state=state).excess == math.inf


def test_a_trial_without_scores_is_not_met() -> None:
    assert not trial().met
    assert trial().excess == math.inf


def test_excess_is_that_of_the_worst_metric_in_limits() -> None:
    assert trial(0.0, 0.03).excess == pytest.approx(2)
    assert trial(0.01).excess == 0
    assert trial(0.0).excess == -1


def test_excess_of_a_limit_of_zero_is_finite() -> None:
    assert trial(0.002, limit=0.0).excess == pytest.approx(2)


def test_excess_of_a_loss_that_is_not_a_number_is_infinite() -> None:
    assert trial(0.0, math.nan).excess == math.inf
    assert trial(math.nan, 0.0).excess == math.inf


def test_speed_is_the_ratio_to_fp32() -> None:
    assert trial(0.0).speed is None
    assert trial(0.0, latency=Latency(0.5, 1.0, Interval(0.5, 0.4, 0.6), 10)).speed == 0.5


def test_intervals_that_share_a_point_are_a_tie() -> None:
    assert Interval(1, 0, 2).overlaps(Interval(3, 2, 4))
    assert not Interval(1, 0, 2).overlaps(Interval(3, 2.1, 4))
