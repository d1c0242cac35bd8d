import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoq.core.batch import Batch
from autoq.core.criterion import Criterion, Tolerance
from autoq.core.errors import DataError, EvaluationError
from autoq.core.interval import Interval
from autoq.core.records import Records
from autoq.evaluation.bootstrap import mean_replicates
from autoq.evaluation.finite_sample import share_bound, tango_interval
from autoq.evaluation.intervals import held_out_verdict, loss_interval, median_ratio_interval
from autoq.evaluation.metrics import make_metric

ACCURACY = make_metric("accuracy")
MSE = make_metric("mse")
ABSOLUTE = Criterion("accuracy", 0.01, Tolerance.ABSOLUTE)
RELATIVE = Criterion("accuracy", 0.01)
ERROR = Criterion("mse", 0.01, Tolerance.ABSOLUTE, higher_is_better=False)


def rows(values):
    return Records.of_rows(np.asarray(values, dtype=float))


def loss(criterion, metric, candidate, baseline, **more):
    return loss_interval(criterion, metric, rows(candidate), rows(baseline), seed=0, **more)[2]


def paired_right_or_wrong(generator, count, worse, better):
    """Baseline right with .8; the candidate breaks a share of samples and repairs another."""
    draw = generator.random(count)
    baseline = np.where(draw < worse, 1, np.where(draw < worse + better, 0, generator.random(count) < 0.8))
    candidate = np.where(draw < worse, 0, np.where(draw < worse + better, 1, baseline))
    return candidate.astype(float), baseline.astype(float)


@pytest.mark.parametrize(("count", "worse", "better"), [(60, 0.05, 0.02), (300, 0.01, 0.0), (300, 0.05, 0.04)])
def test_coverage_of_paired_right_or_wrong(count, worse, better):
    generator = np.random.default_rng(1)
    covered = 0
    for _ in range(300):
        found = loss(ABSOLUTE, ACCURACY, *paired_right_or_wrong(generator, count, worse, better), resamples=200)
        covered += found.low <= worse - better <= found.high
    assert covered / 300 >= 0.92


@pytest.mark.parametrize("count", [5, 12, 100])
def test_coverage_of_gaussian_differences(count):
    generator = np.random.default_rng(2)
    covered = 0
    for _ in range(300):
        baseline = generator.normal(5, 1, count)
        found = loss(ERROR, MSE, baseline + generator.normal(0.3, 0.5, count), baseline, resamples=300)
        covered += found.low <= 0.3 <= found.high
    assert 0.89 <= covered / 300 <= 0.995


def test_coverage_of_a_correlations_loss():
    generator = np.random.default_rng(3)
    spearman, criterion = make_metric("pearson"), Criterion("pearson", 0.01, Tolerance.ABSOLUTE)
    truth = 1 / math.sqrt(2) - 1 / math.sqrt(2.5)
    covered = 0
    for _ in range(120):
        label = generator.normal(size=150)
        baseline = label + generator.normal(size=150)
        candidate = baseline + generator.normal(size=150) * math.sqrt(0.5)
        pairs = [Records.of_rows(np.stack([x, label], axis=1)) for x in (candidate, baseline)]
        found = loss_interval(criterion, spearman, pairs[0], pairs[1], seed=0, resamples=200)[2]
        covered += found.low <= truth <= found.high
    assert covered / 120 >= 0.88


def test_no_difference_among_few_samples_is_no_proof_of_equality():
    found = loss(ABSOLUTE, ACCURACY, [1] * 20, [1] * 20)
    assert found.value == 0
    assert found.low < -0.1
    assert found.high > 0.1
    many = loss(ABSOLUTE, ACCURACY, [1] * 2000, [1] * 2000)
    assert 0 < many.high < 0.005


def test_equal_errors_without_a_range_keep_a_margin_from_the_observed_range():
    found = loss(ERROR, MSE, [1.0, 2.0, 3.0], [1.0, 2.0, 3.0])
    assert found.low < 0 < found.high


def test_graded_scores_that_rarely_differ_are_bounded_by_their_range():
    baseline = np.full(100, 0.5)
    found = loss(ABSOLUTE, ACCURACY, baseline.copy(), baseline)
    assert found.high == pytest.approx(share_bound(0, 100, 0.95))


def test_a_set_metric_whose_resamples_all_agree_keeps_a_margin():
    pairs = np.stack([np.arange(40) % 3, np.arange(40) % 3], axis=1)
    criterion = Criterion("f1", 0.01, Tolerance.ABSOLUTE)
    pairs[:, 0] = (pairs[:, 0] + (np.arange(40) % 7 == 0)) % 3
    found = loss_interval(criterion, make_metric("f1"), rows(pairs), rows(pairs), seed=0)[2]
    assert found.low < 0 < found.high


def test_one_sample_without_a_range_says_nothing():
    found = loss(ERROR, MSE, [1.0], [2.0])
    assert (found.value, found.low, found.high) == (-1.0, -math.inf, math.inf)


def test_fp32_against_itself_loses_exactly_nothing():
    records = rows([1, 0, 1])
    value, base, found = loss_interval(RELATIVE, ACCURACY, records, records.first(3), seed=0)
    assert value == base
    assert found == Interval(0.0, 0.0, 0.0, 0.95)


scores = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=3, max_size=30)


@given(scores, st.sampled_from([0.25, 4.0, 1024.0]))
@settings(max_examples=40)
def test_relative_loss_does_not_depend_on_the_unit(pairs, factor):
    candidate, baseline = np.array(pairs, dtype=float).T
    criterion = Criterion("mse", 0.01, higher_is_better=False)
    one = loss(criterion, MSE, candidate, baseline + 1, resamples=50)
    other = loss(criterion, MSE, factor * candidate, factor * (baseline + 1), resamples=50)
    assert [other.value, other.low, other.high] == pytest.approx([one.value, one.low, one.high])


@given(scores)
@settings(max_examples=40)
def test_the_interval_holds_its_value_and_mirrors_with_the_direction(pairs):
    candidate, baseline = np.array(pairs, dtype=float).T
    lower = loss(ERROR, MSE, candidate, baseline, resamples=50)
    assert lower.low <= lower.value <= lower.high
    swapped = loss(ERROR, MSE, -candidate, -baseline, resamples=50)
    assert [swapped.value, swapped.low, swapped.high] == pytest.approx([-lower.value, -lower.high, -lower.low])


def test_lower_is_better_counts_an_increase_as_loss():
    found = loss(ERROR, MSE, np.linspace(2, 3, 50), np.linspace(1, 2, 50))
    assert found.value == pytest.approx(1)


def test_relative_loss_with_a_baseline_of_zero():
    found = loss(RELATIVE, ACCURACY, [0] * 10, [0] * 10)
    assert (found.value, found.low, found.high) == (0.0, -math.inf, math.inf)
    assert loss(Criterion("mse", 0.1, higher_is_better=False), MSE, [1.0] * 5, [0.0] * 5).value == math.inf


def test_relative_loss_with_a_negative_baseline_keeps_its_sign():
    criterion = Criterion("mse", 0.1)
    assert loss(criterion, MSE, [-2.0, -2.2], [-1.0, -1.2]).value > 0


def test_equal_seeds_give_equal_intervals():
    candidate, baseline = paired_right_or_wrong(np.random.default_rng(0), 200, 0.1, 0.02)
    assert loss(RELATIVE, ACCURACY, candidate, baseline) == loss(RELATIVE, ACCURACY, candidate, baseline)


def test_more_samples_narrow_the_interval():
    generator = np.random.default_rng(0)
    widths = []
    for count in (50, 500, 5000):
        found = loss(ABSOLUTE, ACCURACY, *paired_right_or_wrong(generator, count, 0.1, 0.05))
        widths.append(found.high - found.low)
    assert widths == sorted(widths, reverse=True)


def test_a_metric_undefined_on_most_resamples_has_an_open_interval():
    pairs = np.stack([np.linspace(0, 1, 8), np.eye(8)[0]], axis=1)
    records = rows(pairs)
    criterion = Criterion("roc_auc", 0.01)
    found = loss_interval(criterion, make_metric("roc_auc"), rows(pairs), records, seed=0)[2]
    assert found.low <= found.value <= found.high


def test_different_numbers_of_samples_cannot_be_compared():
    with pytest.raises(DataError, match="2 samples of a candidate with 3"):
        loss(RELATIVE, ACCURACY, [1, 1], [1, 1, 1])


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 100))
def test_tango_interval_holds_the_estimate_and_mirrors(worse, better, rest):
    count = worse + better + rest
    if count == 0:
        return
    low, high = tango_interval(worse, better, count, 0.95)
    assert -1 <= low <= (worse - better) / count <= high <= 1
    assert low < high
    assert tango_interval(better, worse, count, 0.95) == pytest.approx((-high, -low), abs=1e-7)


def test_tango_interval_solves_its_score_equation():
    # Without discordant pairs the statistic is n d / sqrt(n d (1 - d)) = z, so d = z^2 / (n + z^2).
    z2 = 1.959963985**2
    assert tango_interval(0, 0, 50, 0.95)[1] == pytest.approx(z2 / (50 + z2), abs=1e-7)


def test_rule_of_three():
    assert share_bound(0, 1000, 0.95) == pytest.approx(-math.log(0.025) / 1000, rel=0.01)
    assert share_bound(7, 7, 0.95) == 1.0


def test_bootstrap_means_are_spread_like_the_standard_error():
    values = np.random.default_rng(0).normal(size=400)
    means = mean_replicates(values[None], seed=1, resamples=2000)[:, 0]
    assert means.std() == pytest.approx(values.std() / 20, rel=0.1)
    assert means.mean() == pytest.approx(values.mean(), abs=0.005)


@pytest.mark.parametrize("count", [6, 25, 200])
def test_coverage_of_a_median_ratio(count):
    generator = np.random.default_rng(4)
    covered = 0
    for _ in range(300):
        reference = generator.lognormal(0, 0.3, count)
        found = median_ratio_interval(reference * 0.7 * generator.lognormal(0, 0.2, count), reference, 0.95)
        covered += found.low <= 0.7 <= found.high
    assert covered / 300 >= 0.92


@given(st.lists(st.floats(0.1, 10), min_size=1, max_size=40), st.sampled_from([0.8, 0.95, 0.99]))
def test_median_ratio_interval_reaches_its_confidence(ratios, confidence):
    found = median_ratio_interval(ratios, np.ones(len(ratios)), confidence)
    assert found.low <= found.value <= found.high
    assert found.confidence <= confidence
    assert (found.confidence < confidence) == (1 - 2 * 0.5 ** len(ratios) < confidence)


def test_median_ratio_ignores_common_drift_and_outliers():
    drift = np.linspace(1, 3, 101)
    times = 0.5 * drift
    times[::20] *= 50
    found = median_ratio_interval(times, drift, 0.95)
    assert (found.low, found.value, found.high) == pytest.approx((0.5, 0.5, 0.5))


@pytest.mark.parametrize(("ours", "theirs"), [([], []), ([1.0], [1.0, 2.0]), ([0.0], [1.0]), ([1.0], [math.nan])])
def test_ratios_need_pairs_of_positive_times(ours, theirs):
    with pytest.raises(EvaluationError):
        median_ratio_interval(ours, theirs, 0.95)


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (-0.01, 0.01, "confirmed"),
        (-0.01, 0.011, "undecided"),
        (0.01, 0.02, "undecided"),
        (0.011, 0.02, "not_confirmed"),
        (-math.inf, math.inf, "undecided"),
    ],
)
def test_held_out_verdict(low, high, verdict):
    assert held_out_verdict(RELATIVE, Interval(0.0, low, high)) == verdict


def test_a_function_of_ones_own_may_gain_on_fp32():
    def share_right(predictions, labels):
        return float((predictions == labels).mean())

    metric, labels = make_metric(share_right), np.zeros(200, dtype=np.int64)
    baseline, candidate = labels.copy(), labels.copy()
    baseline[:60], candidate[:20] = 1, 1
    batch = Batch(np.zeros(200), labels, 200)
    ours, theirs = (metric.records(predictions, batch) for predictions in (candidate, baseline))
    found = loss_interval(ABSOLUTE, metric, ours, theirs, seed=0)[2]
    assert found.value == pytest.approx(-0.2)
    assert found.low < found.value - 0.02


def test_agreement_never_gains_on_fp32():
    classes = np.zeros(40, dtype=np.int64)
    other = classes.copy()
    other[0] = 1
    metric, batch = make_metric("agreement"), Batch(classes, None, 40)
    found = loss_interval(ABSOLUTE, metric, metric.records(other, batch), metric.records(classes, batch), seed=0)[2]
    assert found.low == 0.0
