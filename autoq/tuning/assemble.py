"""From a job, and what Python hands over beside it, to a workbench and a tuner's settings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from autoq.config.rules import budget, criteria, objective, space_rules
from autoq.config.schema import Dataloader, Job
from autoq.core.adaptor import ModelSource, RunOptions
from autoq.core.errors import ConfigError
from autoq.core.registry import make_adaptor, strategy_factory
from autoq.core.task import Description, Split
from autoq.data.sources import DataSource, open_dataloader, split
from autoq.evaluation.metrics import Metric, make_metric
from autoq.evaluation.postprocess import Postprocess, make_postprocess
from autoq.tuning.judge import Judge
from autoq.tuning.scorer import BlackBoxScorer, DataScorer, Scorer
from autoq.tuning.tuner import TuningSettings
from autoq.tuning.workbench import LatencySettings, Setup, Workbench


@dataclass(frozen=True)
class PythonParts:
    """What a Python caller hands over instead of naming it in the job.

    Attributes:
        model: The framework's own object, or None to read the job's path.
        calibration: Samples to calibrate on.
        evaluation: Samples to score on, with labels where the metric needs them.
        eval_func: Black-box score of a native model.
        metrics: Metrics in place of the job's.
        postprocess: In place of the job's.
    """

    model: Any = None
    calibration: DataSource | None = None
    evaluation: DataSource | None = None
    eval_func: Callable[[object], float] | None = None
    metrics: Sequence[Metric] | None = None
    postprocess: Postprocess | None = None


NO_PARTS = PythonParts()


def workbench_of(job: Job, parts: PythonParts = NO_PARTS) -> Workbench:
    """Load a job's model and open its data.

    Raises:
        AutoqError: The model or the data cannot be used.
    """
    performance, accuracy = job.evaluation.performance, job.evaluation.accuracy
    source = ModelSource(
        parts.model if parts.model is not None else _model_path(job),
        tuple(job.model.inputs),
        tuple(job.model.outputs),
    )
    data = _Data(job, parts)
    batch_size = performance.batch_size or (accuracy.dataloader.batch_size if accuracy is not None else 1)
    needs_data = job.quantization.approach != "post_training_dynamic_quant"
    setup = Setup(
        framework=job.model.framework,
        adaptor=make_adaptor(job.model.framework),
        source=source,
        calibration=data.calibration() if needs_data else None,
        sampling_size=job.quantization.calibration.sampling_size,
        make_scorer=data.scorer,
        sample_inputs=data.sample_inputs,
        latency=LatencySettings(
            performance.warmup,
            performance.iterations,
            batch_size,
            job.tuning.accuracy_criterion.confidence,
        ),
        options=RunOptions(performance.cores_per_instance),
        cache=job.resolve(job.tuning.workspace) / "cache",
        seed=job.tuning.random_seed,
        settings={"performance": performance.model_dump(mode="json"), "seed": job.tuning.random_seed},
    )
    return Workbench(setup)


class _Data:
    """The job's data, each source opened once."""

    def __init__(self, job: Job, parts: PythonParts) -> None:
        self._job = job
        self._parts = parts
        self._splits = cache(self._open_splits)

    def calibration(self) -> DataSource:
        if self._parts.calibration is not None:
            return self._parts.calibration
        spec = self._job.quantization.calibration.dataloader
        if spec is not None:
            return self._open(spec)
        evaluation = self._splits()
        if Split.TUNE not in evaluation:
            raise ConfigError(
                "static quantization needs calibration data",
                hint="give quantization.calibration.dataloader, or calib_dataloader from Python",
            )
        return evaluation[Split.TUNE]

    def scorer(self, model: Any) -> Scorer:
        if self._parts.eval_func is not None:
            higher = self._job.tuning.accuracy_criterion.higher_is_better
            return BlackBoxScorer(self._parts.eval_func, higher is not False)
        sources = self._splits()
        if not sources:
            raise ConfigError(
                "there is no way to score a model",
                hint="give evaluation.accuracy with a metric and a dataloader, or eval_dataloader or eval_func",
            )
        accuracy = self._job.evaluation.accuracy
        specs = self._parts.metrics if self._parts.metrics is not None else make_metrics(self._job)
        postprocess = self._parts.postprocess
        if postprocess is None:
            steps = accuracy.postprocess if accuracy is not None else []
            postprocess = make_postprocess([(s.name, s.arguments) for s in steps])
        settings = accuracy.model_dump_json(exclude={"dataloader", "held_out"}) if accuracy is not None else ""
        return DataScorer(sources, specs, postprocess, tuple(model.inputs), settings)

    def sample_inputs(self, model: Any) -> DataSource | None:
        del model
        return self._splits().get(Split.TUNE) or self._parts.calibration

    def _open_splits(self) -> dict[Split, DataSource]:
        accuracy, seed = self._job.evaluation.accuracy, self._job.tuning.random_seed
        if self._parts.evaluation is not None:
            whole, held_out = self._parts.evaluation, accuracy.held_out if accuracy is not None else 0.0
        elif accuracy is not None:
            whole, held_out = self._open(accuracy.dataloader), accuracy.held_out
        else:
            return {}
        if isinstance(held_out, Dataloader):
            return {Split.TUNE: whole, Split.HELD_OUT: self._open(held_out)}
        if held_out == 0:
            return {Split.TUNE: whole}
        tune, rest = split(whole, held_out, seed)
        return {Split.TUNE: tune, Split.HELD_OUT: rest}

    def _open(self, spec: Dataloader) -> DataSource:
        return open_dataloader(spec, self._job.base, None)


def _model_path(job: Job) -> str:
    if job.model.path is None:
        raise ConfigError("the job names no model", hint="give model.path, or hand the model to autoq.fit")
    return str(job.resolve(job.model.path))


def make_metrics(job: Job) -> list[Metric]:
    """The job's metrics.

    Raises:
        ConfigError: There are none, one is unknown, or two are the same.
    """
    accuracy = job.evaluation.accuracy
    if accuracy is None:
        raise ConfigError("the job names no metric", hint="give evaluation.accuracy.metric")
    found = [make_metric(m.name, m.arguments) for m in accuracy.metric]
    names = [m.name for m in found]
    twice = next((n for n in names if names.count(n) > 1), None)
    if twice is not None:
        raise ConfigError(f"metric '{twice}' is named twice", hint="give each metric once, with its own limit")
    return found


def judge_of(job: Job, description: Description, metrics: Sequence[Metric] | None) -> Judge:
    """The judge of a job whose metrics turned out as `description` says; None for a black-box function."""
    direction = {m.name: m.higher_is_better for m in description.metrics}
    return Judge(
        criteria(job, [m.name for m in description.metrics], direction.__getitem__),
        metrics,
        objective(job),
        job.tuning.random_seed,
    )


def settings_of(job: Job, parts: PythonParts = NO_PARTS) -> TuningSettings:
    """What the tuner needs of a job."""
    strategy = job.tuning.strategy
    metrics = None
    if parts.eval_func is None:
        metrics = parts.metrics if parts.metrics is not None else make_metrics(job)
    return TuningSettings(
        rules=space_rules(job),
        make_strategy=strategy_factory(strategy.name),
        strategy_options=dict(strategy.model_extra or {}),
        budget=budget(job),
        seed=job.tuning.random_seed,
        make_judge=lambda description: judge_of(job, description, metrics),
    )
