"""Scoring one saved model on a job's data, next to the job's fp32 model."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from autoq.config.schema import Job
from autoq.core.adaptor import RunOptions
from autoq.core.errors import DataError
from autoq.core.plan import FP32_PLAN
from autoq.core.task import Split
from autoq.core.trial import MetricScore
from autoq.tuning.assemble import judge_of, metrics_of, setup_of
from autoq.tuning.candidates import deployed

OnProgress = Callable[[str, int, int | None], None]


def evaluate_model(
    job: Job, model: Path | None, *, held_out: bool = False, progress: OnProgress = lambda *_: None
) -> tuple[MetricScore, ...]:
    """Scores of a saved model (the job's own fp32 model when `model` is None), paired with fp32.

    Args:
        job: Names the fp32 model, the data and the metrics.
        model: A model file, or a folder that autoq saved.
        held_out: Score the held-out split.
        progress: Called with model name, samples done, samples to do.

    Raises:
        AutoqError: Model or data cannot be used.
    """
    setup = setup_of(job)
    fp32 = setup.adaptor.load(setup.source)
    scorer = setup.open_data(fp32.inputs).scorer
    split = Split.HELD_OUT if held_out else Split.TUNE
    samples = scorer.samples.get(split, 0)
    if not samples:
        raise DataError(f"this job has no {split} samples", hint="give evaluation.accuracy.held_out")
    options = RunOptions(job.evaluation.performance.cores_per_instance)
    candidates = [("fp32", deployed(setup.adaptor.apply(fp32, FP32_PLAN, None, options)))]
    if model is not None:
        candidates.append((str(model), setup.adaptor.load_artifact(model, options)))
    records = []
    for name, candidate in candidates:
        records.append(scorer.score(candidate, split, 0, samples, partial(progress, name)))
        candidate.close()
    judge = judge_of(job, tuple(scorer.metrics), metrics_of(job))
    return judge.scores(records[-1], records[0])
