"""Bounds that hold for few samples, where a bootstrap sees too little."""

from __future__ import annotations

import math

import numpy as np
from scipy import special

from autoq.core.errors import DataError, EvaluationError
from autoq.core.records import Records
from autoq.evaluation.metrics.base import Floats, Metric

_FEW = 10


def mean_difference_bounds(
    drops: Floats, ours: Floats, theirs: Floats, bounds: tuple[float, float] | None, confidence: float
) -> tuple[float, float]:
    """Bounds of the mean of paired differences that do not shrink to a point when no difference was seen.

    * Scores that are all at the ends of their range (right or wrong): Tango's (1998) score interval of the paired
      difference of proportions, which has close to nominal coverage for small sets and rare differences.
    * Other scores with a known range R, of which fewer than 10 differ in one direction: the mean of the positive
      parts is at most R times the share of positive differences, bounded after Clopper and Pearson (1934).
    * Scores without a range: the observed range of all scores takes the place of R, and the rule applies only when
      all differences are equal. A single sample gives infinite bounds.

    Args:
        drops: ``[samples]`` differences, in the direction that is worse.
        ours: The candidate's scores.
        theirs: fp32's scores.
        bounds: Range of a score, or None.
        confidence: Two-sided coverage.

    Returns:
        Lower and upper bound of the mean difference.
    """
    count = len(drops)
    mean = float(drops.mean())
    if bounds is not None:
        reach = bounds[1] - bounds[0]
        if np.isin(ours, bounds).all() and np.isin(theirs, bounds).all():
            worse, better = int((drops > 0).sum()), int((drops < 0).sum())
            low, high = tango_interval(worse, better, count, confidence)
            return low * reach, high * reach
    elif count < 2:
        return -math.inf, math.inf
    elif (drops == drops[0]).all():
        both = np.concatenate([ours, theirs])
        margin = float(both.max() - both.min()) * share_bound(0, count, confidence)
        return mean - margin, mean + margin
    else:
        return mean, mean
    up, down = int((drops > 0).sum()), int((drops < 0).sum())
    high = reach * share_bound(up, count, confidence) if up < _FEW else mean
    low = -reach * share_bound(down, count, confidence) if down < _FEW else mean
    return min(low, mean), max(high, mean)


def share_bound(seen: int, count: int, confidence: float) -> float:
    """Upper Clopper-Pearson bound of a proportion, at half the error of a two-sided interval.

    With none seen it is ``1 - (error / 2) ** (1 / count)``, about 3.7 / count at 95 % (the rule of three, two-sided).
    """
    if seen >= count:
        return 1.0
    return float(special.betaincinv(seen + 1, count - seen, (1 + confidence) / 2))


def tango_interval(worse: int, better: int, count: int, confidence: float) -> tuple[float, float]:
    """Score interval of ``P(worse) - P(better)`` from paired outcomes.

    Tango (1998), "Equivalence test and confidence interval for the difference in proportions for the paired-sample
    design", equations 5 to 7: all differences whose score statistic lies within the normal quantile.

    Args:
        worse: Pairs in which fp32 is right and the candidate wrong.
        better: The reverse.
        count: All pairs.
        confidence: Two-sided coverage.
    """
    from scipy import optimize  # takes a moment to import, and only some metrics need it

    quantile = float(special.ndtri((1 + confidence) / 2))
    estimate = (worse - better) / count

    def statistic(difference: float) -> float:
        a = 2 * count
        b = -worse - better + (2 * count - worse + better) * difference
        c = -better * difference * (1 - difference)
        rare = (math.sqrt(max(b * b - 4 * a * c, 0.0)) - b) / (2 * a)
        variance = count * (2 * rare + difference * (1 - difference))
        gap = worse - better - count * difference
        return gap / math.sqrt(variance) if variance > 0 else math.copysign(math.inf, gap) if gap else 0.0

    def edge(limit: float, target: float) -> float:
        inside, outside = estimate, limit
        if abs(statistic(limit)) <= quantile:
            return limit
        return float(optimize.brentq(lambda d: _clipped(statistic(d)) - target, inside, outside, xtol=1e-10))

    return edge(-1.0, quantile), edge(1.0, -quantile)


def _clipped(value: float) -> float:
    return max(-1e6, min(1e6, value))


def jackknife_reach(metric: Metric, records: Records, confidence: float) -> float:
    """How far the score could move through changes that no sample showed.

    For a metric of the whole set whose resamples all agree: the share of changed samples that `confidence` cannot
    exclude (`share_bound` of none) times the number of samples times the largest influence of one sample, which is
    the largest change of the score when one sample is left out (jackknife, Tukey 1958; the first 200 are tried).
    A heuristic, and on the wide side.
    """
    count = len(records)
    if count < 2:
        return math.inf
    whole = metric.score(records, records)
    influence = 0.0
    everyone = np.arange(count)
    for left_out in range(min(count, 200)):
        rest = records.take(np.delete(everyone, left_out))
        try:
            influence = max(influence, abs(metric.score(rest, rest) - whole))
        except (EvaluationError, DataError):
            # Undefined without this sample: its influence cannot be told from the others.
            continue
    return influence * count * share_bound(0, count, confidence)
