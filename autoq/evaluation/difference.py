"""How far two models are apart that are both compared with fp32: a quantized one, and its copy elsewhere."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from autoq.core.errors import DataError, EvaluationError
from autoq.core.interval import Interval
from autoq.core.records import Records
from autoq.evaluation.bootstrap import affordable_resamples, expanded_level, mean_replicates, quantile_pair
from autoq.evaluation.finite_sample import mean_difference_bounds
from autoq.evaluation.metrics.base import Metric

_RESAMPLES = 1000


def difference_interval(
    metric: Metric, second: Records, first: Records, baseline: Records, seed: int, confidence: float
) -> tuple[float, float, Interval]:
    """What `second` loses against `first` on the same samples, in the metric's own unit.

    The interval is the paired one of `intervals.loss_interval`: a bootstrap over samples, joined with a bound for
    differences that were not seen.

    Args:
        metric: The metric all records belong to.
        second: Records of the copy.
        first: Records of the model it was made from.
        baseline: fp32's records of the same samples.
        seed: Equal seeds give equal intervals.
        confidence: Coverage.

    Returns:
        Score of `second`, score of `first`, and the difference; positive is worse.

    Raises:
        DataError: They differ in their number of samples, or have none.
        EvaluationError: A score is undefined.
    """
    if not len(first) or {len(first), len(second), len(baseline)} != {len(first)}:
        raise DataError(f"cannot compare {len(second)} samples with {len(first)} and {len(baseline)}")
    value, reference = metric.score(second, baseline), metric.score(first, baseline)
    sign = 1.0 if metric.higher_is_better else -1.0
    difference = sign * (reference - value)
    ours, theirs = metric.per_sample(second, baseline), metric.per_sample(first, baseline)
    if ours is not None and theirs is not None:
        drops = sign * (theirs - ours)
        low, high = mean_difference_bounds(drops, ours, theirs, metric.bounds, confidence)
        means = mean_replicates(drops[None], seed, _RESAMPLES)[:, 0]
        seen = quantile_pair(means, expanded_level(len(drops), confidence))
        low, high = min(low, seen[0]), max(high, seen[1])
    else:
        low, high = _resampled(metric, second, first, baseline, seed, confidence)
    return value, reference, Interval(difference, min(low, difference), max(high, difference), confidence)


def _resampled(
    metric: Metric, second: Records, first: Records, baseline: Records, seed: int, confidence: float
) -> tuple[float, float]:
    generator = np.random.default_rng(seed)
    sign = 1.0 if metric.higher_is_better else -1.0
    wanted = affordable_resamples(baseline, metric.resample_overhead, _RESAMPLES)
    found = []
    for _ in range(wanted):
        chosen: NDArray[np.int64] = generator.integers(0, len(baseline), len(baseline))
        base = baseline.take(chosen)
        try:
            found.append(sign * (metric.score(first.take(chosen), base) - metric.score(second.take(chosen), base)))
        except (EvaluationError, DataError):
            continue  # undefined on this resample only: it tells nothing
    if len(found) <= wanted // 2:
        return -math.inf, math.inf
    return quantile_pair(np.array(found), expanded_level(len(baseline), confidence))
