"""From raw records to scores against fp32, and to one number for the objective."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from autoq.core.criterion import Criterion, Guarantee
from autoq.core.errors import EvaluationError
from autoq.core.interval import Interval
from autoq.core.objective import Objective, Quantity
from autoq.core.records import Records
from autoq.core.trial import Latency, MetricScore
from autoq.evaluation.intervals import loss_interval, score_interval
from autoq.evaluation.metrics import Metric
from autoq.evaluation.selection import corrected
from autoq.evaluation.sequential.decision import Decision, SequentialDecider, can_stop_early


class Judge:
    """Scores records by the job's criteria. Pure: the same records give the same verdict.

    Args:
        criteria: One per metric, in the job's order.
        metrics: The metrics; None for a black-box function, whose record is its score.
        objective: What is made small.
        seed: Seed of the bootstrap.
        shuffled: Whether the tune split comes in random order, so that its first samples may decide a trial.
    """

    def __init__(
        self,
        criteria: Sequence[Criterion],
        metrics: Sequence[Metric] | None,
        objective: Objective,
        seed: int,
        *,
        shuffled: bool = False,
    ) -> None:
        self.criteria = tuple(criteria)
        self.objective = objective
        self._metrics = metrics
        self._seed = seed
        self._shuffled = shuffled

    @property
    def metrics(self) -> Sequence[Metric] | None:
        """The metrics; None for a black-box function."""
        return self._metrics

    @property
    def seed(self) -> int:
        """Seed of the bootstrap."""
        return self._seed

    def scores(self, records: Mapping[str, Records], baseline: Mapping[str, Records]) -> tuple[MetricScore, ...]:
        """One score per criterion, paired with as many baseline samples as there are records.

        Raises:
            EvaluationError: A metric is undefined on these samples.
        """
        return tuple(self._score(i, records, baseline) for i in range(len(self.criteria)))

    @property
    def sequential(self) -> bool:
        """Whether a trial can be decided before its last sample."""
        return self._shuffled and self._metrics is not None and can_stop_early(self.criteria, self._metrics)

    def decision(self, records: Mapping[str, Records], baseline: Mapping[str, Records], hard: int) -> Decision | None:
        """What the first samples decide of all of them; None when they decide nothing.

        Args:
            records: The candidate's records of the first samples.
            baseline: fp32's records of all samples.
            hard: How many of the first samples are there for being hard; the others come at random.
        """
        if not self.sequential or self._metrics is None:
            return None
        decider = SequentialDecider(self.criteria, self._metrics, baseline, hard)
        return decider.conclude() if decider.add(records) is not None else None

    def partial_scores(
        self, records: Mapping[str, Records], baseline: Mapping[str, Records], hard: int
    ) -> tuple[MetricScore, ...]:
        """Scores on the first samples; where hard ones come first, the loss is an estimate for all.

        Raises:
            EvaluationError: A metric is undefined on these samples.
        """
        if not hard or self._metrics is None:
            return self.scores(records, baseline)
        decider = SequentialDecider(self.criteria, self._metrics, baseline, hard)
        decider.add(records)
        return self.decided_scores(decider.conclude(), records, baseline)

    def decided_scores(
        self, decision: Decision, records: Mapping[str, Records], baseline: Mapping[str, Records]
    ) -> tuple[MetricScore, ...]:
        """Scores on the samples that were seen; the loss is the estimate for all, with its anytime-valid interval."""
        assert self._metrics is not None
        found = []
        for criterion, metric, loss, met in zip(
            self.criteria, self._metrics, decision.losses, decision.met, strict=True
        ):
            ours = records[criterion.metric]
            theirs = baseline[criterion.metric].first(len(ours))
            value, base = metric.score(ours, theirs), metric.score(theirs, theirs)
            found.append(MetricScore(criterion.metric, value, base, loss, criterion.limit, met, len(ours)))
        return tuple(found)

    def corrected(self, candidates: int) -> Judge:
        """The judge whose intervals allow for choosing the best of so many candidates."""
        criteria = [replace(c, confidence=corrected(c.confidence, candidates)) for c in self.criteria]
        return Judge(criteria, self._metrics, self.objective, self._seed, shuffled=self._shuffled)

    def baseline_scores(self, records: Mapping[str, Records]) -> tuple[MetricScore, ...]:
        """fp32's own scores, each with its interval.

        Raises:
            EvaluationError: A metric is undefined on these samples.
        """
        scores = self.scores(records, records)
        if self._metrics is None:
            return scores
        return tuple(
            replace(score, interval=score_interval(metric, records[score.metric], self._seed, criterion.confidence))
            for score, metric, criterion in zip(scores, self._metrics, self.criteria, strict=True)
        )

    def check_baseline(self, scores: Sequence[MetricScore], records: Mapping[str, Records]) -> None:
        """Refuse a baseline against which the criterion means nothing.

        Raises:
            EvaluationError: A relative limit of a score of zero, or a guarantee that these samples are too few for.
        """
        for index, (criterion, score) in enumerate(zip(self.criteria, scores, strict=True)):
            if criterion.tolerance == "relative" and score.value == 0:
                what = "no sample right" if criterion.higher_is_better else "no error at all"
                raise EvaluationError(
                    f"the fp32 model itself scores 0 on '{criterion.metric}' ({what}): "
                    "a relative limit of zero leaves nothing to lose, and no quantized model could meet it",
                    hint="check labels, preprocessing and postprocess, or give an absolute limit",
                )
            if criterion.guarantee is Guarantee.POPULATION and self._metrics is not None:
                # A copy is another model that answers the same: the best that any plan can show.
                copy = Records.concatenate([records[criterion.metric]])
                equal = self._score(index, {criterion.metric: copy}, records)
                if not equal.met:
                    raise EvaluationError(
                        f"no model can keep the promise on '{criterion.metric}': even one that answers every sample "
                        f"as fp32 does may lose up to {equal.loss.high:.4g} on other samples, and the limit is "
                        f"{criterion.limit:g}; {equal.samples} samples tell no more",
                        hint="give more evaluation samples, a larger limit, or guarantee: sample",
                    )

    def objective_of(self, latency: Latency | None, size: float | None, memory: float | None) -> float | None:
        """The weighted cost relative to fp32."""
        speed = latency.ratio.value if latency else None
        return self.objective.value(
            {
                Quantity.LATENCY: speed,
                Quantity.THROUGHPUT: speed,
                Quantity.SIZE: size,
                Quantity.MEMORY: memory,
            }
        )

    def _score(self, index: int, records: Mapping[str, Records], baseline: Mapping[str, Records]) -> MetricScore:
        criterion = self.criteria[index]
        found, reference = records[criterion.metric], baseline[criterion.metric]
        reference = reference.first(len(found))
        if self._metrics is None:
            value, base = float(found.values[0, 0]), float(reference.values[0, 0])
            loss = criterion.loss(value, base)
            interval = Interval(loss, loss, loss, criterion.confidence)
        else:
            value, base, interval = loss_interval(criterion, self._metrics[index], found, reference, self._seed)
        return MetricScore(
            metric=criterion.metric,
            value=value,
            baseline=base,
            loss=interval,
            limit=criterion.limit,
            met=criterion.met(interval),
            samples=len(found),
        )
