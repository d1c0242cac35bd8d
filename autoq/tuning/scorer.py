"""How a candidate is scored: sample by sample on data, or by the user's black-box function."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from autoq.core.adaptor import Candidate
from autoq.core.errors import DataError, EvaluationError
from autoq.core.function import qualified_name
from autoq.core.records import Records
from autoq.core.stopping import StoppingRule
from autoq.core.task import MetricInfo, Split
from autoq.data.shuffle import Shuffled
from autoq.data.source import DataSource, Indices, count_samples
from autoq.evaluation.divergence import Reference
from autoq.evaluation.margin import Margins
from autoq.evaluation.metrics import Metric
from autoq.evaluation.metrics.base import Floats
from autoq.evaluation.postprocess import Postprocess
from autoq.evaluation.scoring import score_batches
from autoq.evaluation.sequential.decision import SequentialDecider, are_bounded_means
from autoq.tuning.watch import Watch

COMPARED = 32
"""Samples whose outputs are compared with those of fp32."""

OnProgress = Callable[[int, int | None], None]
"""Called with samples done and samples to do; raises to abandon the task."""


@contextmanager
def told_as(data: str) -> Iterator[None]:
    """Say which data a `DataError` of the block is about."""
    try:
        yield
    except DataError as error:
        error.where = f"{data}, {error.where}" if error.where else data
        raise


class Scorer(Protocol):
    """Scores candidates and says on what."""

    @property
    def metrics(self) -> Sequence[MetricInfo]:
        """The metrics, in the job's order."""

    @property
    def samples(self) -> Mapping[Split, int]:
        """Samples per split."""

    @property
    def fingerprint(self) -> Sequence[str]:
        """Content addresses of data and metrics."""

    def score(
        self,
        candidate: Candidate,
        split: Split,
        start: int,
        stop: int,
        progress: OnProgress,
        watch: Watch | None = None,
    ) -> Mapping[str, Records]:
        """Records by metric for samples ``start`` to ``stop``, or to where `watch` has seen enough."""

    def watch(self, rule: StoppingRule | None, fp32: Callable[[], Candidate] | None) -> Watch:
        """What looks at an evaluation of the tune split.

        Args:
            rule: When it may stop; None for never.
            fp32: Gives the model that outputs are compared with; None for no comparison.
        """


@dataclass(frozen=True)
class DataScorer:
    """Runs a candidate over evaluation data."""

    sources: dict[Split, DataSource]
    measures: Sequence[Metric]
    postprocess: Postprocess
    settings: str
    _counts: dict[Split, int] = field(default_factory=dict)
    _references: list[Reference] = field(default_factory=list)
    shuffled: Shuffled | None = None

    @property
    def metrics(self) -> Sequence[MetricInfo]:
        """The metrics, in the job's order."""
        return [MetricInfo(m.name, m.higher_is_better, m.is_mean) for m in self.measures]

    @property
    def samples(self) -> Mapping[Split, int]:
        """Samples per split; a stream of unknown length is walked once to count them."""
        for split, source in self.sources.items():
            if split not in self._counts:
                self._counts[split] = count_samples(source)
        return self._counts

    @property
    def fingerprint(self) -> Sequence[str]:
        """Content addresses of the splits, and the settings text."""
        return [*(f"{split}:{source.fingerprint}" for split, source in self.sources.items()), self.settings]

    def score(
        self,
        candidate: Candidate,
        split: Split,
        start: int,
        stop: int,
        progress: OnProgress,
        watch: Watch | None = None,
    ) -> Mapping[str, Records]:
        """Records by metric, streamed batch by batch."""
        total = stop - start
        progress(0, total)
        return score_batches(
            candidate.predict if watch is None else watch.over(candidate.predict),
            self.sources[split].batches(start, stop),
            self.postprocess,
            self.measures,
            lambda done: progress(done, total),
            watch.enough if watch is not None else None,
        )

    @property
    def decides_early(self) -> bool:
        """Whether the first samples may tell of all: they come at random, and every metric is a bounded mean."""
        return self.shuffled is not None and are_bounded_means(self.measures)

    def score_with_margins(self, fp32: Candidate, progress: OnProgress) -> tuple[Mapping[str, Records], Floats | None]:
        """fp32's records of the whole tune split, and how sure it is of each sample; None where that cannot be told."""
        total = self.samples[Split.TUNE]
        margins = Margins(fp32.predict)
        progress(0, total)
        records = score_batches(
            margins,
            self.sources[Split.TUNE].batches(),
            self.postprocess,
            self.measures,
            lambda done: progress(done, total),
        )
        return records, margins.of(total)

    def reorder(self, order: Indices) -> None:
        """Score the tune split in another order from now on; only where it is `shuffled`."""
        assert self.shuffled is not None
        self.sources[Split.TUNE] = self.shuffled.select(order)

    def watch(self, rule: StoppingRule | None, fp32: Callable[[], Candidate] | None) -> Watch:
        """Stops by the rule, and compares the first samples' outputs with those of fp32, which are kept."""
        decider = None
        if rule is not None:
            decider = SequentialDecider(rule.criteria, self.measures, rule.baseline, rule.hard)
            if rule.before:
                decider.add(rule.before)
        if fp32 is None:
            return Watch(decider)
        if not self._references:
            batches = self.sources[Split.TUNE].batches()
            self._references.append(Reference(fp32().predict, batches, COMPARED))
        return Watch(decider, self._references[0])


@dataclass(frozen=True)
class BlackBoxScorer:
    """Hands the native model to the user's function, which returns one number for the whole evaluation."""

    function: Callable[[object], float]
    higher_is_better: bool
    name: str = "eval_func"

    @property
    def metrics(self) -> Sequence[MetricInfo]:
        """One metric: what the function returns."""
        return [MetricInfo(self.name, self.higher_is_better, False)]

    @property
    def samples(self) -> Mapping[Split, int]:
        """One indivisible evaluation."""
        return {Split.TUNE: 1, Split.HELD_OUT: 0}

    @property
    def fingerprint(self) -> Sequence[str]:
        """The function's name; what it does and on which data is unknown."""
        return [qualified_name(self.function)]

    def score(
        self,
        candidate: Candidate,
        split: Split,
        start: int,
        stop: int,
        progress: OnProgress,
        watch: Watch | None = None,
    ) -> Mapping[str, Records]:
        """The function's number as the record of the one sample."""
        del split, start, stop, watch
        progress(0, None)
        value = self.function(candidate.native)
        try:
            number = float(value)
        except (TypeError, ValueError) as error:
            raise EvaluationError(f"eval_func returned {type(value).__name__}, not a number") from error
        if not math.isfinite(number):
            raise EvaluationError(f"eval_func returned {number}", hint="it must return one finite number")
        return {self.name: Records.of_rows(np.array([number]))}

    def watch(self, rule: StoppingRule | None, fp32: Callable[[], Candidate] | None) -> Watch:
        """Sees nothing: samples are the function's own business."""
        del rule, fp32
        return Watch()
