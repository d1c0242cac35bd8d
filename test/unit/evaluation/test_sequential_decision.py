import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoq.core.criterion import Criterion, Guarantee, Tolerance
from autoq.core.errors import DataError, EvaluationError
from autoq.core.records import Records
from autoq.evaluation.metrics import make_metric
from autoq.evaluation.metrics.base import MeanMetric
from autoq.evaluation.sequential.decision import SequentialDecider, can_stop_early

ACCURACY = make_metric("accuracy")
AGREEMENT = make_metric("agreement")
QUALITY = MeanMetric("quality")
ERROR = MeanMetric("error", higher_is_better=False)
ABSOLUTE = Tolerance.ABSOLUTE


def rows(values):
    return Records.of_rows(np.asarray(values, dtype=float))


def decider(criterion, metric, baseline):
    return SequentialDecider([criterion], [metric], {metric.name: rows(baseline)})


def feed(made, name, candidate, sizes=(1,)):
    """The first decision, with the candidate cut into batches of the sizes in turn."""
    start, turn = 0, 0
    while start < len(candidate):
        size = sizes[turn % len(sizes)]
        decision = made.add({name: rows(candidate[start : start + size])})
        if decision is not None:
            return decision
        start, turn = start + size, turn + 1
    return None


def decide(criterion, metric, candidate, baseline, sizes=(1,)):
    return feed(decider(criterion, metric, baseline), metric.name, candidate, sizes)


eighths = st.integers(0, 8).map(lambda v: v / 8)
pairs = st.lists(st.tuples(eighths, eighths), min_size=1, max_size=60)
right_or_wrong = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=60)
samples = st.one_of(pairs, right_or_wrong)
limits = st.sampled_from([0.0, 0.01, 0.05, 0.125, 0.3])
tolerances = st.sampled_from(list(Tolerance))


@given(samples, limits, tolerances, st.lists(st.integers(1, 17), min_size=1, max_size=4))
def test_the_decision_does_not_depend_on_how_the_samples_are_cut(scores, limit, tolerance, sizes):
    candidate, baseline = zip(*scores, strict=True)
    criterion = Criterion("quality", limit, tolerance)
    assert decide(criterion, QUALITY, candidate, baseline, sizes) == decide(criterion, QUALITY, candidate, baseline)


@given(samples, limits, tolerances)
@settings(max_examples=200)
def test_with_all_samples_it_is_the_decision_of_the_full_evaluation(scores, limit, tolerance):
    candidate, baseline = zip(*scores, strict=True)
    criterion = Criterion("quality", limit, tolerance)
    made = decider(criterion, QUALITY, baseline)
    feed(made, "quality", candidate, (len(candidate),))
    found = made.conclude()
    loss = criterion.loss(float(np.mean(candidate)), float(np.mean(baseline)))
    assert found.samples == len(candidate)
    assert found.kept == found.met[0] == (loss <= limit + 1e-9)
    assert found.losses[0].value == found.losses[0].low == found.losses[0].high == loss


@given(st.permutations([1] * 3 + [0] * 57), st.sampled_from([0.05, 0.05 - 1e-12, 0.05 + 1e-12]))
def test_a_loss_of_exactly_the_limit_is_kept_whatever_rounding_does(differs, limit):
    found = decide(Criterion("agreement", limit), AGREEMENT, differs, np.zeros(60), (20,))
    assert found.kept or found.samples < 60


@given(samples, st.lists(limits, min_size=2, max_size=2), tolerances)
def test_what_one_limit_keeps_every_larger_limit_keeps_no_later(scores, chosen, tolerance):
    candidate, baseline = zip(*scores, strict=True)
    strict, loose = (
        decide(Criterion("quality", limit, tolerance), QUALITY, candidate, baseline) for limit in sorted(chosen)
    )
    if strict.kept:
        assert loose.kept
        assert loose.samples <= strict.samples


@given(samples, limits)
def test_lower_is_better_mirrors_higher_is_better(scores, limit):
    candidate, baseline = (np.array(s, dtype=float) for s in zip(*scores, strict=True))
    up = decide(Criterion("quality", limit, ABSOLUTE), QUALITY, candidate, baseline)
    down = decide(Criterion("error", limit, ABSOLUTE, higher_is_better=False), ERROR, 1 - candidate, 1 - baseline)
    assert (up.kept, up.samples, up.met) == (down.kept, down.samples, down.met)
    assert up.losses[0].low == pytest.approx(down.losses[0].low)


@given(pairs, limits, st.sampled_from([0.25, 16.0]))
def test_the_unit_of_the_metric_does_not_matter(scores, limit, unit):
    candidate, baseline = (np.array(s, dtype=float) for s in zip(*scores, strict=True))
    criterion = Criterion("quality", limit)
    scaled = MeanMetric("quality", bounds=(0.0, unit))
    plain = decide(criterion, QUALITY, candidate, baseline)
    other = decide(criterion, scaled, candidate * unit, baseline * unit)
    assert (plain.kept, plain.samples) == (other.kept, other.samples)
    assert plain.losses[0].high == pytest.approx(other.losses[0].high)


@given(samples, limits)
def test_the_interval_holds_the_loss_so_far_and_stays_within_what_is_possible(scores, limit):
    candidate, baseline = zip(*scores, strict=True)
    criterion = Criterion("quality", limit, ABSOLUTE)
    made = decider(criterion, QUALITY, baseline)
    half = (len(candidate) + 1) // 2
    made.add({"quality": rows(candidate[:half])})
    loss = made.conclude().losses[0]
    assert loss.low <= loss.value <= loss.high
    assert loss.low >= -1
    assert loss.high <= 1


def test_no_difference_is_accepted_after_about_three_over_the_limit():
    assert (
        300 <= decide(Criterion("agreement", 0.01), AGREEMENT, np.zeros(10_000), np.zeros(10_000), (50,)).samples < 400
    )
    assert decide(Criterion("agreement", 0.05), AGREEMENT, np.zeros(10_000), np.zeros(10_000), (50,)).samples < 80
    assert decide(Criterion("agreement", 0.01), AGREEMENT, np.zeros(300), np.zeros(300), (50,)).samples < 180


def test_a_broken_candidate_is_rejected_within_ten_samples():
    agreement = decide(Criterion("agreement", 0.01), AGREEMENT, np.ones(300), np.zeros(300))
    accuracy = decide(Criterion("accuracy", 0.01), ACCURACY, np.zeros(2000), np.arange(2000) % 4 > 0)
    assert not agreement.kept
    assert agreement.samples <= 5
    assert not accuracy.kept
    assert accuracy.samples <= 15


def test_what_the_rest_cannot_change_is_decided_at_once():
    # 3 of 300 may differ: the fourth settles it, although bets alone would not yet.
    differs = np.zeros(300)
    differs[[50, 100, 150, 200]] = 1
    found = decide(Criterion("agreement", 0.01, confidence=0.999), AGREEMENT, differs, np.zeros(300))
    assert (found.kept, found.samples) == (False, 201)


def test_no_loss_at_all_is_kept_only_when_it_is_certain():
    strict = Criterion("agreement", 0.0)
    assert decide(strict, AGREEMENT, np.zeros(100), np.zeros(100)).kept
    last = np.zeros(100)
    last[-1] = 1
    found = decide(strict, AGREEMENT, last, np.zeros(100))
    assert not found.kept or found.samples < 100


def test_a_baseline_of_zero_allows_no_relative_loss():
    criterion = Criterion("error", 0.5, higher_is_better=False)
    worse = np.zeros(50)
    worse[20] = 0.01
    found = decide(criterion, ERROR, worse, np.zeros(50))
    assert (found.kept, found.samples, found.losses[0].value) == (False, 21, math.inf)
    assert decide(criterion, ERROR, np.zeros(50), np.zeros(50)).kept


@given(st.integers(0, 99), st.sampled_from([13, 100]))
def test_a_score_that_is_no_number_is_never_kept(place, size):
    candidate = np.ones(100)
    candidate[place] = np.nan
    found = decide(Criterion("quality", 0.0), QUALITY, candidate, np.full(100, 1.0), (size,))
    made = decider(Criterion("quality", 0.9), QUALITY, np.ones(100))
    made.add({"quality": rows(candidate)})
    assert not found.kept or found.samples <= place
    assert not made.conclude().kept
    assert math.isnan(made.conclude().losses[0].value)


def test_several_criteria_must_all_hold():
    baseline = {"agreement": rows(np.zeros(400)), "quality": rows(np.full(400, 0.5))}
    criteria = [Criterion("agreement", 0.05), Criterion("quality", 0.05)]

    def found(agreement, quality):
        made = SequentialDecider(criteria, [QUALITY, AGREEMENT], baseline)
        return made.add({"agreement": rows(agreement), "quality": rows(quality)})

    both = found(np.zeros(400), np.full(400, 0.5))
    one = found(np.zeros(400), np.full(400, 0.1))
    assert (both.kept, both.met) == (True, (True, True))
    assert (one.kept, one.met[1]) == (False, False)
    assert len(one.losses) == 2


def test_rejecting_by_one_of_several_takes_more_evidence():
    baseline = np.zeros(3000)
    candidate = (np.arange(3000) % 10 == 0).astype(float)
    alone = decide(Criterion("agreement", 0.05), AGREEMENT, candidate, baseline)
    criteria = [Criterion("agreement", 0.05), Criterion("quality", 0.05)]
    made = SequentialDecider(
        criteria, [AGREEMENT, QUALITY], {"agreement": rows(baseline), "quality": rows(np.ones(3000))}
    )
    among = made.add({"agreement": rows(candidate), "quality": rows(np.ones(3000))})
    assert not alone.kept
    assert not among.kept
    assert alone.samples < among.samples


def test_a_population_guarantee_is_never_accepted_early_but_may_be_rejected():
    population = Criterion("agreement", 0.05, guarantee=Guarantee.POPULATION)
    made = decider(population, AGREEMENT, np.zeros(300))
    assert made.add({"agreement": rows(np.zeros(300))}) is None
    assert made.conclude().met == (False,)
    assert decide(population, AGREEMENT, np.ones(300), np.zeros(300)).samples < 5
    late = np.zeros(300)
    late[-16:] = 1
    found = decide(population, AGREEMENT, late, np.zeros(300))
    assert (found.kept, found.samples) == (False, 300)


def test_a_sample_that_is_neither_right_nor_wrong_voids_bets_on_whole_samples():
    baseline = (np.arange(100) % 4 > 0).astype(float)
    candidate = baseline.copy()
    candidate[1] -= 0.5
    criterion = Criterion("accuracy", 0.02)
    voided = decide(criterion, ACCURACY, candidate, baseline)
    # With a range a little wider no baseline score is right or wrong, and no bet counts on it.
    never = decide(criterion, MeanMetric("accuracy", bounds=(0.0, 1.0 + 1e-6)), candidate, baseline)
    assert (voided.kept, voided.samples) == (never.kept, never.samples)
    whole = decide(criterion, ACCURACY, baseline, baseline)
    assert whole.samples < voided.samples


def test_the_decision_stays_and_later_samples_only_sharpen_the_interval():
    made = decider(Criterion("agreement", 0.05), AGREEMENT, np.zeros(400))
    first = made.add({"agreement": rows(np.zeros(100))})
    assert made.add({"agreement": rows(np.ones(50))}) is first
    assert made.samples == 150
    later = made.conclude()
    assert (later.kept, later.samples) == (True, 150)
    assert later.losses[0].value == pytest.approx(50 / 150)


def test_all_samples_overrule_what_the_first_of_them_decided():
    made = decider(Criterion("agreement", 0.05), AGREEMENT, np.zeros(400))
    assert made.add({"agreement": rows(np.r_[np.zeros(100), np.ones(300)])}).kept
    assert not made.conclude().kept


def test_undecided_samples_are_judged_by_their_mean():
    made = decider(Criterion("agreement", 0.05), AGREEMENT, np.zeros(400))
    assert made.add({"agreement": rows(np.zeros(10))}) is None
    undecided = made.conclude()
    assert (undecided.kept, undecided.met, undecided.samples) == (True, (True,), 10)
    assert undecided.losses[0].high > 0.05


def test_sequences_of_positions_are_scored_against_their_own_baseline():
    baseline = Records.of_ragged([np.arange(3)] * 50, 1)
    broken = Records.of_ragged([np.arange(3) + 1] * 50, 1)
    made = SequentialDecider([Criterion("agreement", 0.1)], [AGREEMENT], {"agreement": baseline})
    assert made.add({"agreement": baseline.first(10)}) is None
    assert made.add({"agreement": broken.first(20)}).kept is False


def test_only_means_with_a_known_range_can_stop_early():
    named = {m: make_metric(m) for m in ("accuracy", "f1", "mse")}
    assert can_stop_early([Criterion("accuracy")], [named["accuracy"]])
    assert not can_stop_early([Criterion("accuracy")], [named["accuracy"], named["f1"]])
    assert not can_stop_early([Criterion("mse", higher_is_better=False)], [named["mse"]])
    assert not can_stop_early([Criterion("other")], [named["accuracy"]])
    assert not can_stop_early([], [named["accuracy"]])
    with pytest.raises(EvaluationError, match="decided early"):
        decider(Criterion("mse", higher_is_better=False), named["mse"], np.ones(5))


def test_wrong_use_says_what_is_wrong():
    made = decider(Criterion("quality"), QUALITY, np.ones(5))
    with pytest.raises(DataError, match="no records of metric 'quality'"):
        made.add({"other": rows([1.0])})
    with pytest.raises(DataError, match="cannot decide on 0 and 6 more samples of 5"):
        made.add({"quality": rows(np.ones(6))})
    with pytest.raises(EvaluationError, match="outside of its bounds"):
        made.add({"quality": rows([1.5])})
    with pytest.raises(DataError, match="without samples"):
        made.conclude()
    with pytest.raises(DataError, match="no samples of fp32"):
        decider(Criterion("quality"), QUALITY, [])
