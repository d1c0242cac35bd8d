"""The interval of fp32's own score."""

import numpy as np
import pytest
from scipy import stats

from autoq.core.errors import DataError
from autoq.core.records import Records
from autoq.evaluation.intervals import score_interval
from autoq.evaluation.metrics import make_metric


@pytest.mark.parametrize(("right", "count"), [(0, 20), (13, 20), (20, 20), (780, 1000)])
def test_shares_get_wilsons_interval(right, count):
    rows = np.zeros(count)
    rows[:right] = 1
    found = score_interval(make_metric("top1"), Records.of_rows(rows), 0, 0.95)
    known = stats.binomtest(right, count).proportion_ci(0.95, method="wilson")
    assert (found.low, found.high) == pytest.approx((known.low, known.high), abs=1e-12)
    assert found.value == right / count


def test_agreement_of_fp32_with_itself_is_certain():
    found = score_interval(make_metric("agreement"), Records.of_rows(np.arange(30)), 0, 0.95)
    assert (found.low, found.value, found.high) == (1, 1, 1)


def test_a_correlation_is_covered_as_often_as_claimed():
    rng, metric, hits = np.random.default_rng(1), make_metric("pearson"), 0
    for seed in range(200):
        x = rng.normal(size=80)
        y = 0.6 * x + 0.8 * rng.normal(size=80)
        found = score_interval(metric, Records.of_rows(np.stack([x, y], 1)), seed, 0.9, resamples=200)
        hits += found.low <= 0.6 <= found.high
    assert hits >= 164  # 90 % claimed; two binomial standard errors and the skew of 80 pairs below it


def test_no_samples_is_an_error():
    with pytest.raises(DataError, match="no samples"):
        score_interval(make_metric("top1"), Records.of_rows(np.zeros(0)), 0, 0.95)
