"""What each sample can cost: the paired differences to fp32 of one criterion, and what is known beforehand."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from autoq.core.criterion import ROUNDING, Criterion, Tolerance
from autoq.core.errors import DataError, EvaluationError
from autoq.core.records import Records
from autoq.evaluation.metrics.base import Floats, Metric
from autoq.evaluation.metrics.classification import Agreement
from autoq.evaluation.sequential.betting import Bets, Capital

_OUTSIDE = 1e-9
"""Share of its range that a score may lie outside of it by rounding."""


@dataclass(frozen=True)
class Thresholds:
    """The limit, for the sum of the drops of all samples.

    Attributes:
        beyond: A sum as large as this is too much: what must be refuted to accept.
        within: A sum up to this is fine: what must be refuted to reject.
        surely_within: At most this is fine whatever rounding does.
        surely_beyond: More than this is too much whatever rounding does.
    """

    beyond: float
    within: float
    surely_within: float
    surely_beyond: float


class Drops:
    """The drops ``d_i`` of one criterion: how much worse the candidate scores on sample i than fp32.

    fp32's score of every sample is known, and with it the limit of the sum and how far each sample can move it.

    Args:
        criterion: The limit.
        metric: A mean metric with bounds.
        baseline: fp32's records of all samples, in the order in which candidates are scored.
        hard: How many of the first samples were chosen before any candidate was seen, e.g. for being hard; the others
            come at random.

    Attributes:
        population: Samples in all.
        lower: No drop is smaller.
        upper: No drop is larger.
        step: Drops are multiples of it, or None: 1 where each sample is right or wrong.
        rest_low: ``[samples + 1]``, the least that the samples from i on can add to the sum.
        rest_high: ``[samples + 1]``, the most they can.

    Raises:
        DataError: No samples.
        EvaluationError: fp32's score is undefined, or outside of the metric's bounds.
    """

    def __init__(self, criterion: Criterion, metric: Metric, baseline: Records, hard: int = 0) -> None:
        if metric.bounds is None:
            raise EvaluationError(f"metric '{metric.name}' has no bounds: its loss can be told from all samples only")
        if not len(baseline):
            raise DataError(f"metric '{metric.name}': there are no samples of fp32 to compare with")
        self.criterion = criterion
        self.metric = metric
        self.baseline = baseline
        self.population = len(baseline)
        self.hard = hard
        self.full_score = metric.score(baseline, baseline)
        self._bounds = metric.bounds
        self._fp32 = self._scores(baseline, baseline)
        low, high = self._bounds
        best, worst = (high, low) if criterion.higher_is_better else (low, high)
        gain, harm = np.abs(best - self._fp32), np.abs(worst - self._fp32)
        self.lower, self.upper = -float(gain.max()), float(harm.max())
        self.rest_low, self.rest_high = _sums_of_rest(-gain), _sums_of_rest(harm)
        self.step = self._known_step()

    def of(self, candidate: Records, start: int) -> Floats:
        """``[samples]`` drops of the candidate's samples from `start` on; NaN where its score is.

        Raises:
            EvaluationError: A score lies outside of the metric's bounds.
        """
        stop = start + len(candidate)
        scores = self._scores(candidate, _between(self.baseline, start, stop))
        fp32 = self._fp32[start:stop]
        drops = fp32 - scores if self.criterion.higher_is_better else scores - fp32
        return np.clip(drops, self.lower, self.upper)

    def first_off_step(self, drops: Floats) -> int | None:
        """Index of the first drop that is no multiple of the step."""
        if self.step is None:
            return None
        shares = drops / self.step
        off = np.abs(shares - np.round(shares)) > _OUTSIDE
        return int(off.argmax()) if off.any() else None

    def bet_on_small(self, mean: float) -> Capital:
        """Evidence that the mean drop is below `mean`. It takes drops with their sign changed, as gains."""
        scale = self.upper - self.lower
        bets = Bets.on_small(self.upper, scale, self.population)
        return Capital(-mean, -self.upper, scale, self.population, bets, self.hard)

    def bet_on_large(self, mean: float) -> Capital:
        """Evidence that the mean drop is above `mean`. It takes drops."""
        scale = self.upper - self.lower
        return Capital(mean, self.lower, scale, self.population, Bets.on_large(scale, self.population), self.hard)

    def estimate(self, drops: Floats) -> float:
        """The mean drop of all samples, from the first of them.

        Each of the two strata, the hard ones and the others, by the mean of those that were seen (the stratified
        estimator; Cochran 1977, section 5.3). While none of the others was, as if nothing were lost on them.
        """
        hard, others = drops[: self.hard], drops[self.hard :]
        sizes = self.hard, self.population - self.hard
        means = (float(part.mean()) if len(part) else 0.0 for part in (hard, others))
        return sum(size * mean for size, mean in zip(sizes, means, strict=True)) / self.population

    def loss(self, mean_drop: float) -> float:
        """The mean drop in the criterion's unit, against fp32's score of all samples."""
        return self.criterion.loss_of_drop(mean_drop, self.full_score)

    def thresholds(self, step: float | None) -> Thresholds:
        """The limit of the sum, where drops are multiples of `step`."""
        count = self.population
        limit = count * self.criterion.allowed_drop(self.full_score)
        unit = abs(self.full_score) if self.criterion.tolerance is Tolerance.RELATIVE else 1.0
        slack = count * ROUNDING * unit
        if step is None:
            # fp32 scores 0: the loss is infinite as soon as anything is lost, and only rounding is allowed.
            least = 0.0 if slack else 1e-12 * count * (self.upper - self.lower)
            return Thresholds(limit + slack, limit + slack, limit, limit + 2 * slack + least)
        within = math.floor((limit + slack) / step) * step
        return Thresholds(within + step, within, within + step / 4, within + step / 4)

    def _scores(self, records: Records, reference: Records) -> Floats:
        scores = self.metric.per_sample(records, reference)
        if scores is None:
            raise EvaluationError(f"metric '{self.metric.name}' is no mean of per-sample scores")
        low, high = self._bounds
        slack = _OUTSIDE * (high - low)
        outside = (scores < low - slack) | (scores > high + slack)
        if outside.any():
            raise EvaluationError(
                f"metric '{self.metric.name}' scored {scores[outside][0]}, outside of its bounds {low} to {high}"
            )
        return scores

    def _known_step(self) -> float | None:
        """A class is right or wrong: so is a sample that has one position, or whose fp32 is right or wrong always."""
        low, high = self._bounds
        if isinstance(self.metric, Agreement):
            return high - low if self.baseline.is_flat else None
        right, wrong = self._fp32 == high, self._fp32 == low
        return high - low if (right | wrong).all() and right.any() and wrong.any() else None


def _sums_of_rest(values: Floats) -> Floats:
    return np.concatenate([np.cumsum(values[::-1])[::-1], [0.0]])


def _between(records: Records, start: int, stop: int) -> Records:
    first, last = records.offsets[start], records.offsets[stop]
    return Records(records.values[first:last], records.offsets[start : stop + 1] - first)
