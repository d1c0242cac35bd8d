"""How often an early decision is wrong, over thousands of candidates at and around the limit."""

from itertools import product

import numpy as np
import pytest
from scipy import stats

from autoq.core.criterion import Criterion
from autoq.core.records import Records
from autoq.evaluation.metrics import make_metric
from autoq.evaluation.metrics.base import MeanMetric
from autoq.evaluation.sequential.confidence_sequence import mean_drop_interval
from autoq.evaluation.sequential.drops import Drops
from autoq.evaluation.sequential.loss_test import LossTest

CONFIDENCE = 0.9
TRIALS = 100


def population(shape, count, lost, generator):
    """Metric, fp32's records and the candidate's of a whole set, whose drops sum up to `lost`."""
    if shape == "agreement":
        candidate = np.zeros(count)
        candidate[: round(lost)] = 1
        return make_metric("agreement"), np.zeros(count), candidate
    if shape == "flips":
        baseline = (np.arange(count) < 0.8 * count).astype(float)
        candidate, both = baseline.copy(), round(0.02 * count)
        candidate[: both + round(lost)] = 0
        candidate[count - both :] = 1
        return make_metric("accuracy"), baseline, candidate
    baseline = generator.uniform(-0.1, 0.1, count)
    baseline += 0.7 - baseline.mean()
    drops = generator.uniform(-0.15, 0.15, count)
    return MeanMetric("quality"), baseline, baseline - (drops - drops.mean() + lost / count)


def trials(shape, count, limit, side, number=TRIALS):
    """Test and drops of each candidate, its samples in random order, and whether its loss is within the limit."""
    generator = np.random.default_rng(sum(map(ord, f"{shape} {count} {limit} {side}")))
    whole = {"agreement": 1.0, "flips": 0.8, "graded": 0.7}[shape] * limit * count
    # One sample is the least that right-or-wrong scores can be away from the limit.
    at, step = (whole, 0.1) if shape == "graded" else (np.floor(whole + 1e-9), 1.0)
    lost = at + {"at": 0.0, "above": step, "below": -step}[side]
    for _ in range(number):
        metric, baseline, candidate = population(shape, count, lost, generator)
        order = generator.permutation(count)
        criterion = Criterion(metric.name, limit, confidence=CONFIDENCE)
        known = Drops(criterion, metric, Records.of_rows(baseline[order]))
        drops = known.of(Records.of_rows(candidate[order]), 0)
        test = LossTest(known, 1 - CONFIDENCE)
        test.add(drops)
        loss = known.loss(float(drops.mean()))
        yield known, drops, test, loss <= limit + 1e-9


def most_wrong(number):
    """So many wrong decisions are seen with a chance of less than 1 in 10,000 if each is wrong with the error."""
    return int(stats.binom.ppf(1 - 1e-4, number, 1 - CONFIDENCE))


@pytest.mark.parametrize("shape", ["agreement", "flips", "graded"])
@pytest.mark.parametrize("side", ["at", "above", "below"])
def test_early_decisions_are_wrong_no_more_often_than_the_confidence_allows(shape, side):
    wrong = []
    for count, limit in product((300, 2000), (0.01, 0.05)):
        wrong.append(0)
        early = 0
        for known, _, test, kept in trials(shape, count, limit, side):
            told = test.accepted_at is not None
            stopped = test.accepted_at or test.rejected_at or known.population
            early += stopped < known.population
            wrong[-1] += stopped < known.population and told != kept
        assert early > 0
    assert max(wrong) <= most_wrong(TRIALS)
    assert sum(wrong) <= most_wrong(len(wrong) * TRIALS)


def test_the_bound_on_wrong_decisions_is_put_to_the_test():
    # A gambler who counts the same evidence at a tenth of the price is caught by the same bound.
    wrong = 0
    for known, drops, _, kept in trials("agreement", 2000, 0.05, "above"):
        cheap = LossTest(known, 1 - CONFIDENCE)
        cheap._accept_above = 0.3
        cheap.add(drops)
        wrong += (cheap.accepted_at is not None) != kept
    assert wrong > most_wrong(TRIALS)


@pytest.mark.parametrize("shape", ["agreement", "flips", "graded"])
def test_the_interval_holds_the_loss_of_all_samples_when_it_is_read_at_the_decision(shape):
    number, missed = 100, 0
    for known, drops, test, _ in trials(shape, 600, 0.05, "below", number):
        stopped = min(test.accepted_at or known.population, test.rejected_at or known.population)
        low, high = mean_drop_interval(known, drops[:stopped], CONFIDENCE)
        missed += not low - 1e-9 <= float(drops.mean()) <= high + 1e-9
    assert missed <= most_wrong(number)


@pytest.mark.parametrize("shape", ["agreement", "flips", "graded"])
def test_candidates_far_from_the_limit_take_a_small_share_of_the_samples(shape):
    generator = np.random.default_rng(3)
    for lost, kept in ((0.0, True), (0.25, False)):
        metric, baseline, candidate = population(shape, 10_000, lost * 10_000, generator)
        order = generator.permutation(10_000)
        known = Drops(Criterion(metric.name, 0.05), metric, Records.of_rows(baseline[order]))
        test = LossTest(known, 0.05)
        test.add(known.of(Records.of_rows(candidate[order]), 0))
        assert (test.accepted_at is not None) == kept
        assert (test.accepted_at or test.rejected_at) < 1000
