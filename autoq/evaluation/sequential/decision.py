"""Stop as soon as it is decided: paired, valid at any time, without replacement."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from autoq.core.criterion import Criterion, Guarantee
from autoq.core.errors import DataError, EvaluationError
from autoq.core.interval import Interval
from autoq.core.records import Records
from autoq.evaluation.metrics.base import Floats, Metric
from autoq.evaluation.sequential.confidence_sequence import mean_drop_interval
from autoq.evaluation.sequential.drops import Drops
from autoq.evaluation.sequential.loss_test import LossTest


@dataclass(frozen=True)
class Decision:
    """Whether a candidate keeps all criteria, and what is known of its losses.

    Attributes:
        kept: All criteria are met.
        samples: How many samples it took.
        losses: Per criterion, in its unit: the mean drop so far against fp32's score of all samples, with an
            interval of the loss on all samples that is valid although it was looked at after every sample. Two-sided:
            it may hold the limit where the one-sided test has just decided.
        met: Per criterion: as decided for it alone, else whether the loss so far is within the limit. A criterion
            with `Guarantee.POPULATION` is only met by the interval of a full evaluation, so never here.
    """

    kept: bool
    samples: int
    losses: tuple[Interval, ...]
    met: tuple[bool, ...]


def can_stop_early(criteria: Sequence[Criterion], metrics: Sequence[Metric]) -> bool:
    """Whether an evaluation may end before its last sample: every metric is a mean of scores of a known range."""
    measured = {m.name for m in metrics}
    return bool(criteria) and are_bounded_means(metrics) and all(c.metric in measured for c in criteria)


def are_bounded_means(metrics: Sequence[Metric]) -> bool:
    """Whether every metric is a mean of scores of a known range."""
    return all(m.is_mean and m.bounds is not None and 0 < m.bounds[1] - m.bounds[0] < math.inf for m in metrics)


class SequentialDecider:
    """Tells from a candidate's first samples whether it keeps all criteria on all samples.

    The samples must be in random order, but for the first `hard`, the same for fp32 and the candidate, and the
    candidate must not have been chosen by its score on just these samples; then a decision before the last sample is
    wrong with a chance of at most ``1 - confidence``, whichever it is. To accept, each criterion must be met: one that
    is not is taken for met with its own error at most. To reject, one of k criteria suffices: each gets the k-th part
    of its error. With all samples scored the decision is exactly that of the full evaluation.

    Args:
        criteria: What must be kept; their metrics are means with bounds (see `can_stop_early`).
        metrics: Where the criteria's metrics are found, by name.
        baseline: fp32's records of all samples, by metric name.
        hard: How many of the first samples are no random draws but were chosen before any candidate was seen. Whatever
            they show counts as what it is, and says nothing about the others.

    Raises:
        DataError: Records of a metric are missing, or empty.
        EvaluationError: A metric cannot be decided early.
    """

    def __init__(
        self,
        criteria: Sequence[Criterion],
        metrics: Sequence[Metric],
        baseline: Mapping[str, Records],
        hard: int = 0,
    ) -> None:
        if not can_stop_early(criteria, metrics):
            raise EvaluationError(
                "an evaluation can only be decided early by mean metrics with bounds, not by "
                + ", ".join(c.metric for c in criteria),
                hint="score all samples",
            )
        named = {m.name: m for m in metrics}
        self._criteria = tuple(criteria)
        self._drops = tuple(Drops(c, named[c.metric], _of(baseline, c.metric), hard) for c in criteria)
        self._tests = tuple(LossTest(d, (1 - d.criterion.confidence) / len(criteria)) for d in self._drops)
        self._seen: tuple[list[Floats], ...] = tuple([] for _ in criteria)
        self._records: tuple[list[Records], ...] = tuple([] for _ in criteria)
        self._population = self._drops[0].population
        self._samples = 0
        self._decision: Decision | None = None

    @property
    def samples(self) -> int:
        """Samples taken so far, also after the decision."""
        return self._samples

    def add(self, records: Mapping[str, Records]) -> Decision | None:
        """Take the candidate's records of the next samples.

        Args:
            records: By metric name, of any number of samples: the decision and the sample it falls at are the same
                however they are cut.

        Returns:
            The decision, once there is one, and from then on. With all samples there is one, unless a criterion
            with `Guarantee.POPULATION` holds on these samples, which its interval must confirm.

        Raises:
            DataError: Records are missing, or there are more than fp32 has.
            EvaluationError: A score lies outside of its metric's bounds.
        """
        given = [_of(records, c.metric) for c in self._criteria]
        count = len(given[0])
        if any(len(g) != count for g in given) or self._samples + count > self._population:
            raise DataError(
                f"cannot decide on {self._samples} and {', '.join(str(len(g)) for g in given)} more samples "
                f"of {self._population}"
            )
        for drops, test, seen, parts, part in zip(
            self._drops, self._tests, self._seen, self._records, given, strict=True
        ):
            found = drops.of(part, self._samples)
            seen.append(found)
            parts.append(part)
            if self._decision is None:
                test.add(found)
        self._samples += count
        if self._decision is None and count:
            self._decision = self._decide()
        return self._decision

    def conclude(self) -> Decision:
        """What is known from all samples taken, decided or not.

        Undecided, `kept` says whether every criterion holds on the samples so far; with all samples it is the answer
        of the full evaluation, even where the first of them had decided.

        Raises:
            DataError: There are none.
        """
        if not self._samples:
            raise DataError("nothing can be told of a candidate's loss without samples")
        decided = self._decision is not None and self._samples < self._population
        return self._at(self._samples, self._decision.kept if self._decision is not None and decided else None)

    def _decide(self) -> Decision | None:
        rejected = min((t.rejected_at for t in self._tests if t.rejected_at is not None), default=self._population)
        accepted = max(self._population if t.accepted_at is None else t.accepted_at for t in self._tests)
        if min(rejected, accepted) < self._population:
            return self._at(min(rejected, accepted), accepted < rejected)
        if self._samples < self._population:
            return None
        final = self._at(self._population, None)
        violated = any(not _holds(c, i) for c, i in zip(self._criteria, final.losses, strict=True))
        return final if violated or final.kept else None

    def _at(self, samples: int, kept: bool | None) -> Decision:
        losses = tuple(self._loss(i, samples) for i in range(len(self._criteria)))
        met = tuple(self._is_met(i, samples, loss) for i, loss in enumerate(losses))
        return Decision(all(met) if kept is None else kept, samples, losses, met)

    def _is_met(self, index: int, samples: int, loss: Interval) -> bool:
        criterion, test = self._criteria[index], self._tests[index]
        if samples < self._population:
            if test.rejected_at is not None and test.rejected_at <= samples:
                return False
            if test.accepted_at is not None and test.accepted_at <= samples:
                return True
        return criterion.guarantee is Guarantee.SAMPLE and _holds(criterion, loss)

    def _loss(self, index: int, samples: int) -> Interval:
        known, confidence = self._drops[index], self._criteria[index].confidence
        drops = np.concatenate(self._seen[index])[:samples]
        if np.isnan(drops).any():
            return Interval(math.nan, -math.inf, math.inf, confidence)
        if samples == self._population:
            score = known.metric.score(Records.concatenate(self._records[index]), known.baseline)
            loss = known.criterion.loss(score, known.full_score)
            return Interval(loss, loss, loss, confidence)
        value = known.estimate(drops)
        low, high = mean_drop_interval(known, drops, confidence)
        return Interval(known.loss(value), known.loss(min(low, value)), known.loss(max(high, value)), confidence)


def _holds(criterion: Criterion, loss: Interval) -> bool:
    """Whether the loss itself is within the limit, however sure it is."""
    return criterion.met(Interval(loss.value, loss.value, loss.value, loss.confidence))


def _of(records: Mapping[str, Records], metric: str) -> Records:
    if metric not in records:
        raise DataError(f"there are no records of metric '{metric}'", hint=f"scored are: {', '.join(records)}")
    return records[metric]
