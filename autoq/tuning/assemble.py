"""From a job, and what Python hands over beside it, to a workbench and a tuner's settings."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autoq.config.conflicts import MODES
from autoq.config.data_schema import Dataloader
from autoq.config.files import import_beside
from autoq.config.model_kind import SAVED_MODEL, kinds_of_object
from autoq.config.rules import budget, criteria, objective, space
from autoq.config.schema import Job
from autoq.core.adaptor import ModelSource, RunOptions
from autoq.core.batch import Inputs, TensorSpec
from autoq.core.deployment import runtimes_of
from autoq.core.digest import canonical_json
from autoq.core.errors import ConfigError, ModelError
from autoq.core.function import is_function_name, load_function, qualified_name
from autoq.core.precision import Mode
from autoq.core.registry import make_adaptor, strategy_factory
from autoq.core.task import MetricInfo, Split
from autoq.data.shuffle import Shuffled, shuffled
from autoq.data.source import DataSource
from autoq.data.sources import open_data, open_dataloader, split
from autoq.evaluation.metrics import Metric, make_metrics
from autoq.evaluation.postprocess import Postprocess, make_postprocess
from autoq.tuning.deployment.gate import DeploymentSettings
from autoq.tuning.judge import Judge
from autoq.tuning.latency_settings import LatencySettings
from autoq.tuning.scorer import BlackBoxScorer, DataScorer, Scorer, told_as
from autoq.tuning.setup import JobData, Setup
from autoq.tuning.tuner import TuningSettings
from autoq.tuning.workbench import Workbench


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
    calibration: Any = None
    evaluation: Any = None
    eval_func: Callable[[object], float] | None = None
    metrics: Sequence[Metric] | None = None
    postprocess: Postprocess | None = None


NO_PARTS = PythonParts()


def workbench_of(job: Job, parts: PythonParts = NO_PARTS) -> Workbench:
    """Load a job's model and open its data.

    Raises:
        AutoqError: The model or the data cannot be used.
    """
    return Workbench(setup_of(job, parts))


def setup_of(job: Job, parts: PythonParts = NO_PARTS) -> Setup:
    """What a workbench for this job is made of; loads nothing yet.

    Raises:
        AutoqError: The framework or the model is not there.
    """
    performance, accuracy = job.evaluation.performance, job.evaluation.accuracy
    loader = accuracy.dataloader if accuracy is not None else None
    return Setup(
        framework=job.model.framework,
        adaptor=make_adaptor(job.model.framework),
        source=model_source(job, parts),
        open_data=lambda inputs: _open_data(job, parts, inputs),
        sampling_size=job.quantization.calibration.sampling_size,
        latency=LatencySettings(
            performance.warmup,
            performance.iterations,
            performance.batch_size or (loader.batch_size if loader is not None else 1),
            job.tuning.accuracy_criterion.confidence,
            performance.num_of_instance,
        ),
        options=RunOptions(performance.cores_per_instance),
        cache=job.resolve(job.tuning.workspace) / "cache",
        seed=job.tuning.random_seed,
        settings={"performance": performance.model_dump(mode="json"), "seed": job.tuning.random_seed},
    )


def model_source(job: Job, parts: PythonParts = NO_PARTS) -> ModelSource:
    """Where a job's model comes from: a file, ``package.module:factory``, or what Python handed over.

    A factory's module may lie beside the job file, or in the current folder.

    Raises:
        ConfigError: The job names no model, or a factory that does not exist.
        ModelError: The factory failed.
    """
    import_beside(job)
    section, model = job.model, parts.model
    if model is None:
        if section.path is None:
            raise ConfigError("the job names no model", hint="give model.path, or hand the model to autoq.fit")
        if not is_function_name(section.path):
            model = str(job.resolve(section.path))
        elif section.framework in SAVED_MODEL.frameworks:
            model = _made(section.path, section.framework, section.arguments)
        else:
            model = section.path
    else:
        kinds = kinds_of_object(model)
        if kinds and not any(section.framework in (*kind.frameworks, "toy") for kind in kinds):
            raise ConfigError(
                f"the model handed over is {kinds[0].title}, which framework {section.framework} does not read",
                hint=f"write framework: {' or '.join(kinds[0].frameworks)}",
            )
    weights = job.resolve(section.weights) if section.weights is not None else None
    return ModelSource(
        model,
        tuple(section.inputs),
        tuple(section.outputs),
        {"weights": weights, "arguments": dict(section.arguments), "signature": section.signature},
        lambda: _example(job, parts),
    )


def _made(name: str, framework: str, arguments: Mapping[str, object]) -> object:
    """What a factory makes, for frameworks whose adaptors take the object itself."""
    make_adaptor(framework)  # imports the framework, without what it prints, before the user's module does
    factory = load_function(name)
    try:
        return factory(**arguments)
    except Exception as error:
        raise ModelError(
            f"the factory failed: {type(error).__name__}: {error}", where=name, hint="check model.arguments"
        ) from error


def _example(job: Job, parts: PythonParts) -> Inputs:
    """The first inputs of the calibration data, or of the evaluation data, as they are before the model is known."""
    accuracy = job.evaluation.accuracy
    data: DataSource | None = None
    for given, name in ((parts.calibration, "calib_dataloader"), (parts.evaluation, "eval_dataloader")):
        data = data or _python_data(given, name, job, None)
    loaders = (job.quantization.calibration.dataloader, accuracy.dataloader if accuracy is not None else None)
    for loader in loaders:
        if data is None and loader is not None:
            data = open_dataloader(loader, job.base)
    batch = next(iter(data.batches()), None) if data is not None else None
    if batch is None:
        raise ConfigError(
            f"framework {job.model.framework} finds a model's ops by running it, and there are no data to run it on",
            hint="give quantization.calibration.dataloader, or calib_dataloader from Python",
        )
    return batch.inputs


def _open_data(job: Job, parts: PythonParts, inputs: Sequence[TensorSpec]) -> JobData:
    splits = _splits(job, parts, inputs)
    ordered = splits.get(Split.TUNE)
    mixed = shuffled(ordered, job.tuning.random_seed) if ordered is not None else None
    tune = mixed or ordered
    if tune is not None:
        splits[Split.TUNE] = tune
    calibration = None
    if Mode.STATIC in MODES[job.quantization.approach]:
        spec = job.quantization.calibration.dataloader
        calibration = _python_data(parts.calibration, "calib_dataloader", job, inputs)
        if calibration is None:
            with told_as("calibration data"):
                calibration = open_dataloader(spec, job.base, inputs) if spec is not None else tune
        if calibration is None:
            raise ConfigError(
                "static quantization needs calibration data",
                hint="give quantization.calibration.dataloader, or calib_dataloader from Python",
            )
    return JobData(_scorer(job, parts, splits, mixed), calibration, tune or calibration, mixed is not None)


def _splits(job: Job, parts: PythonParts, inputs: Sequence[TensorSpec]) -> dict[Split, DataSource]:
    accuracy = job.evaluation.accuracy
    if parts.eval_func is not None:
        return {}
    whole = _python_data(parts.evaluation, "eval_dataloader", job, inputs)
    if whole is None:
        if accuracy is None or accuracy.dataloader is None:
            return {}
        with told_as("evaluation data"):
            whole = open_dataloader(accuracy.dataloader, job.base, inputs)
    held_out = accuracy.held_out if accuracy is not None else 0.0
    if isinstance(held_out, Dataloader):
        with told_as("held-out data"):
            return {Split.TUNE: whole, Split.HELD_OUT: open_dataloader(held_out, job.base, inputs)}
    if held_out == 0:
        return {Split.TUNE: whole}
    tune, rest = split(whole, held_out, job.tuning.random_seed)
    return {Split.TUNE: tune, Split.HELD_OUT: rest}


def _python_data(data: Any, name: str, job: Job, inputs: Sequence[TensorSpec] | None) -> DataSource | None:
    if data is None:
        return None
    accuracy = job.evaluation.accuracy
    loader = accuracy.dataloader if accuracy is not None else None
    size = loader.batch_size if loader is not None else 1
    return open_data(data, batch_size=size, input_specs=inputs, where=name)


def _scorer(job: Job, parts: PythonParts, splits: dict[Split, DataSource], mixed: Shuffled | None) -> Scorer:
    accuracy = job.evaluation.accuracy
    if parts.eval_func is not None:
        return BlackBoxScorer(parts.eval_func, job.tuning.accuracy_criterion.higher_is_better is not False)
    if not splits:
        raise ConfigError(
            "there is no way to score a model",
            hint="give evaluation.accuracy with a metric and a dataloader, or eval_dataloader or eval_func",
        )
    steps = [(s.name, s.arguments) for s in accuracy.postprocess] if accuracy is not None else []
    postprocess = parts.postprocess
    if postprocess is None:
        postprocess = make_postprocess(steps, job.base)
    metrics = metrics_of(job, parts)
    return DataScorer(splits, metrics, postprocess, _scoring_settings(job, metrics), shuffled=mixed)


def _scoring_settings(job: Job, metrics: Sequence[Metric]) -> str:
    """What records depend on besides the data: metrics and steps, and the code of those that are the user's."""
    accuracy = job.evaluation.accuracy
    sections = [*accuracy.metric, *accuracy.postprocess] if accuracy is not None else []
    return canonical_json(
        {
            "metrics": [[qualified_name(type(m)), m.name] for m in metrics],
            "sections": [s.model_dump(mode="json", include={"name", "arguments"}) for s in sections],
            "code": [_source_digest(s.name) for s in sections if is_function_name(s.name)],
        }
    )


def _source_digest(name: str) -> str:
    file = inspect.getsourcefile(inspect.unwrap(load_function(name)))
    return hashlib.sha256(Path(file).read_bytes()).hexdigest() if file is not None else name


def metrics_of(job: Job, parts: PythonParts = NO_PARTS) -> Sequence[Metric]:
    """The metrics of a job, or those handed over in their place.

    Raises:
        ConfigError: There are none, or one is unknown.
    """
    if parts.metrics is not None:
        return parts.metrics
    accuracy = job.evaluation.accuracy
    import_beside(job)
    if accuracy is None:
        raise ConfigError("the job names no metric", hint="give evaluation.accuracy.metric, or metric or eval_func")
    return make_metrics(accuracy.metric)


def judge_of(
    job: Job, found: Sequence[MetricInfo], metrics: Sequence[Metric] | None, *, shuffled: bool = False
) -> Judge:
    """The judge of a job whose metrics turned out as `found`; `metrics` is None for a black-box function."""
    direction = {m.name: m.higher_is_better for m in found}
    return Judge(
        criteria(job, [m.name for m in found], direction.__getitem__),
        metrics,
        objective(job),
        job.tuning.random_seed,
        shuffled=shuffled,
    )


def settings_of(job: Job, parts: PythonParts = NO_PARTS) -> TuningSettings:
    """What the tuner needs of a job."""
    strategy = job.tuning.strategy
    metrics = metrics_of(job, parts) if parts.eval_func is None else None
    return TuningSettings(
        framework=job.model.framework,
        make_space=lambda table: space(job, table),
        make_strategy=strategy_factory(strategy.name),
        strategy_options=dict(strategy.model_extra or {}),
        budget=budget(job),
        seed=job.tuning.random_seed,
        make_judge=lambda description: judge_of(job, description.metrics, metrics, shuffled=description.shuffled),
        reuse=parts.eval_func is None and parts.postprocess is None,
        deployment=_deployment_of(job),
    )


def _deployment_of(job: Job) -> DeploymentSettings | None:
    section = job.deployment
    if section is None:
        return None
    runtimes = section.runtimes or runtimes_of(job.model.framework)
    return DeploymentSettings(tuple(runtimes), section.profile, section.opset, section.tolerance)
