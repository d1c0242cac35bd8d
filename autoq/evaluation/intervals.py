"""Intervals of losses and latency ratios, and the verdict on held-out samples."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from scipy import special  # scipy.stats takes half a second to import

from autoq.core.criterion import ROUNDING, Criterion
from autoq.core.errors import DataError, EvaluationError
from autoq.core.interval import Interval
from autoq.core.records import Records
from autoq.evaluation.bootstrap import affordable_resamples, expanded_level, mean_replicates, quantile_pair
from autoq.evaluation.finite_sample import jackknife_reach, mean_difference_bounds
from autoq.evaluation.metrics.base import Floats, Metric

HeldOutVerdict = Literal["confirmed", "not_confirmed", "undecided"]


def loss_interval(
    criterion: Criterion,
    metric: Metric,
    candidate: Records,
    baseline: Records,
    seed: int,
    resamples: int = 1000,
) -> tuple[float, float, Interval]:
    """Loss of a candidate against fp32 on the same samples, with a paired bootstrap interval.

    Both are resampled with the same samples (Efron and Tibshirani 1993, chapter 16), and a relative loss is divided
    by the resampled baseline. The percentile level is widened for small sets (Hesterberg 2015, expanded percentile).
    Because a bootstrap cannot see differences that did not occur among the samples, the interval is joined with a
    finite-sample bound: see `finite_sample.mean_difference_bounds` for mean metrics and
    `finite_sample.jackknife_reach` for others.

    Args:
        criterion: Fixes unit, direction and confidence.
        metric: The metric the records belong to.
        candidate: The candidate's records.
        baseline: fp32's records of the same samples. When both are views of one array they are fp32 against itself,
            and the loss is exactly 0.
        seed: Equal seeds give equal intervals.
        resamples: Bootstrap replicates at most; large records of a metric of the whole set get fewer.

    Returns:
        The candidate's score, the baseline's score, and the loss in the criterion's unit.
        With a single sample and no known range the ends are infinite.

    Raises:
        DataError: The two differ in their number of samples, or have none.
        EvaluationError: A score is undefined.
    """
    if len(candidate) != len(baseline) or not len(baseline):
        raise DataError(f"cannot compare {len(candidate)} samples of a candidate with {len(baseline)} of fp32")
    value, reference = metric.score(candidate, baseline), metric.score(baseline, baseline)
    loss = criterion.loss(value, reference)
    if _are_one(candidate, baseline):
        return value, reference, Interval(loss, loss, loss, criterion.confidence)
    ours, theirs = metric.per_sample(candidate, baseline), metric.per_sample(baseline, baseline)
    if ours is not None and theirs is not None:
        low, high = _mean_loss(criterion, metric, ours, theirs, reference, seed, resamples)
    else:
        low, high = _set_loss(criterion, metric, candidate, baseline, reference, seed, resamples)
    if metric.compares_with_fp32:
        low = max(low, 0.0)  # fp32 agrees with itself in every sample there is: nothing can do better
    return value, reference, Interval(loss, min(low, loss), max(high, loss), criterion.confidence)


def _are_one(first: Records, second: Records) -> bool:
    """Whether both are views of the same numbers in memory, not only equal ones."""
    left, right = first.values, second.values
    return left.ctypes.data == right.ctypes.data and left.strides == right.strides and left.shape == right.shape


def _mean_loss(
    criterion: Criterion,
    metric: Metric,
    ours: Floats,
    theirs: Floats,
    reference: float,
    seed: int,
    resamples: int,
) -> tuple[float, float]:
    drops = theirs - ours if criterion.higher_is_better else ours - theirs
    low_drop, high_drop = mean_difference_bounds(drops, ours, theirs, metric.bounds, criterion.confidence)
    floor = criterion.loss_of_drop(low_drop, reference), criterion.loss_of_drop(high_drop, reference)
    means = mean_replicates(np.stack([drops, theirs]), seed, resamples)
    losses = np.array([criterion.loss_of_drop(float(d), float(b)) for d, b in means])
    low, high = quantile_pair(losses, expanded_level(len(drops), criterion.confidence))
    return min(low, floor[0]), max(high, floor[1])


def _set_loss(
    criterion: Criterion,
    metric: Metric,
    candidate: Records,
    baseline: Records,
    reference: float,
    seed: int,
    resamples: int,
) -> tuple[float, float]:
    def loss_of(chosen: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> float:
        theirs = baseline.take(chosen)
        return criterion.loss(metric.score(candidate.take(chosen), theirs), metric.score(theirs, theirs))

    losses = _set_replicates(loss_of, baseline, metric.resample_overhead, seed, resamples)
    if losses is None:
        return -math.inf, math.inf
    low, high = quantile_pair(losses, expanded_level(len(baseline), criterion.confidence))
    if low == high:
        reach = jackknife_reach(metric, baseline, criterion.confidence)
        low -= abs(criterion.loss_of_drop(reach, reference)) if reach else 0.0
        high += abs(criterion.loss_of_drop(reach, reference)) if reach else 0.0
    return low, high


def score_interval(metric: Metric, records: Records, seed: int, confidence: float, resamples: int = 1000) -> Interval:
    """The score of fp32 itself with its interval: Wilson's (1927) for 0/1 scores, else a bootstrap.

    A metric that compares with fp32 is certain: fp32 agrees with itself.

    Raises:
        DataError: No samples.
        EvaluationError: The score is undefined.
    """
    if not len(records):
        raise DataError("there are no samples to score")
    value = metric.score(records, records)
    if metric.compares_with_fp32:
        return Interval(value, value, value, confidence)
    scores = metric.per_sample(records, records)
    if scores is not None and np.isin(scores, (0.0, 1.0)).all():
        low, high = _wilson(value, len(scores), confidence)
        return Interval(value, low, high, confidence)

    def resampled(chosen: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> float:
        again = records.take(chosen)
        return metric.score(again, again)

    found = _set_replicates(resampled, records, metric.resample_overhead, seed, resamples)
    if found is None or len(records) < 2:
        return Interval(value, -math.inf, math.inf, confidence)
    low, high = quantile_pair(found, expanded_level(len(records), confidence))
    return Interval(value, min(low, value), max(high, value), confidence)


def _wilson(share: float, count: int, confidence: float) -> tuple[float, float]:
    square = float(special.ndtri((1 + confidence) / 2)) ** 2
    centre = (share + square / (2 * count)) / (1 + square / count)
    reach = math.sqrt(square * (share * (1 - share) / count + square / (4 * count**2))) / (1 + square / count)
    return max(centre - reach, 0.0), min(centre + reach, 1.0)


def _set_replicates(
    statistic: Callable[[np.ndarray[tuple[int, ...], np.dtype[np.int64]]], float],
    records: Records,
    overhead: int,
    seed: int,
    resamples: int,
) -> Floats | None:
    """Replicates of a metric of the whole set; None when most resamples leave it undefined."""
    generator = np.random.default_rng(seed)
    wanted = affordable_resamples(records, overhead, resamples)
    losses = []
    for _ in range(wanted):
        chosen = generator.integers(0, len(records), len(records))
        try:
            losses.append(statistic(chosen))
        except (EvaluationError, DataError):
            # Undefined on this resample only, e.g. ROC AUC without the second class: it tells nothing.
            continue
    return np.array(losses) if len(losses) > wanted // 2 else None


def median_ratio_interval(
    candidate_times: Sequence[float], reference_times: Sequence[float], confidence: float = 0.95
) -> Interval:
    """Median of the paired ratios with its distribution-free interval.

    The ends are the order statistics of the sign test (Conover 1999, section 3.2): ``[r_(k), r_(n+1-k)]`` with the
    largest k whose coverage ``1 - 2 P(Binomial(n, 1/2) < k)`` reaches `confidence`. Too few pairs (fewer than 6 at
    95 %) give the whole range and the confidence that it has.

    Raises:
        EvaluationError: No pairs, different lengths, or times that are not positive.
    """
    ours, theirs = np.asarray(candidate_times, dtype=np.float64), np.asarray(reference_times, dtype=np.float64)
    if not len(ours) or ours.shape != theirs.shape or not (ours > 0).all() or not (theirs > 0).all():
        raise EvaluationError("latency ratios need pairs of positive times")
    ratios = np.sort(ours / theirs)
    count = len(ratios)
    outside = 0
    while special.bdtr(outside, count, 0.5) <= (1 - confidence) / 2:  # P(Binomial <= outside)
        outside += 1
    if outside == 0:
        reached = max(0.0, 1 - 2 * 0.5**count)
        return Interval(float(np.median(ratios)), float(ratios[0]), float(ratios[-1]), min(confidence, reached))
    return Interval(float(np.median(ratios)), float(ratios[outside - 1]), float(ratios[count - outside]), confidence)


def held_out_verdict(criterion: Criterion, loss: Interval) -> HeldOutVerdict:
    """What samples the search never saw say about the promise.

    Confirmed when the whole interval is within the limit, not confirmed when the whole interval is beyond it,
    undecided when it holds the limit.
    """
    if loss.high <= criterion.limit + ROUNDING:
        return "confirmed"
    return "not_confirmed" if loss.low > criterion.limit + ROUNDING else "undecided"
