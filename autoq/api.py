"""Tuning from Python."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from autoq.config.loader import check_job, job_from_mapping, load_job
from autoq.config.schema import Job
from autoq.core.errors import ConfigError
from autoq.core.function import is_function_name
from autoq.evaluation.metrics import Metric, make_metric
from autoq.evaluation.metrics.function import FunctionMetric
from autoq.result import Result
from autoq.run import run_job
from autoq.tuning.assemble import PythonParts
from autoq.tuning.outcome import SilentListener, TuningListener

MetricLike = str | Metric | Callable[[Any, Any], float]


def fit(
    model: Any,
    conf: str | Path | Mapping[str, Any] | Job,
    calib_dataloader: Iterable[Any] | None = None,
    *,
    eval_dataloader: Iterable[Any] | None = None,
    eval_func: Callable[[Any], float] | None = None,
    metric: MetricLike | Sequence[MetricLike] | None = None,
    postprocess: Callable[[Any, Any], Any] | None = None,
    resume: bool = False,
    listener: TuningListener | None = None,
) -> Result:
    """Find the fastest model that keeps the accuracy promise, and prove it.

    A batch is ``inputs`` or ``(inputs, labels)``, where inputs is an array, a dict by input name, or a list of
    positional arrays. Trials run in this process.

    Args:
        model: A path, ``package.module:factory``, or the framework's own object; None for the path in `conf`.
        conf: A job file, a mapping with its keys, or a `Job`.
        calib_dataloader: Samples to calibrate on; any iterable, a torch DataLoader or a tf.data dataset.
        eval_dataloader: Samples to score on, with labels where the metric needs them.
        eval_func: ``eval_func(native_model) -> float`` in place of data and metric; run in full each time.
        metric: A metric's name, a metric, or ``f(predictions, labels) -> float``; or several.
        postprocess: ``f(outputs, batch)`` between raw outputs and the metric.
        resume: Go on with the latest job of the same content in the workspace.
        listener: Told what happens while it happens.

    Returns:
        The result; never None. `Result.accepted` is False when the honest answer is fp32.

    Raises:
        AutoqError: The job, the model or the data cannot be used.

    Example:
        >>> result = autoq.fit("model.onnx", "job.yaml", batches)  # doctest: +SKIP
        >>> result.accepted, result.report()  # doctest: +SKIP
    """
    job = _job(conf)
    if eval_func is not None and (eval_dataloader is not None or metric is not None):
        raise ConfigError("eval_func takes the place of eval_dataloader and metric: give one or the other")
    parts = PythonParts(
        model=None if isinstance(model, str | Path) else model,
        calibration=calib_dataloader,
        evaluation=eval_dataloader,
        eval_func=eval_func,
        metrics=_metrics(metric),
        postprocess=postprocess,
    )
    if isinstance(model, str | Path):
        # A factory's name is no path: made absolute it would name nothing.
        named = isinstance(model, str) and is_function_name(model) and not Path(model).exists()
        path = str(model) if named else str(Path(model).absolute())
        section = job.model.model_copy(update={"path": path})
        job = job.model_copy(update={"model": section})
    return run_job(job, listener or SilentListener(), parts=parts, resume=resume)


def _job(conf: str | Path | Mapping[str, Any] | Job) -> Job:
    if isinstance(conf, Job):
        check_job(conf)
        return conf
    if isinstance(conf, Mapping):
        return job_from_mapping(conf, Path.cwd())
    return load_job(Path(conf))


def _metrics(metric: MetricLike | Sequence[MetricLike] | None) -> list[Metric] | None:
    if metric is None:
        return None
    several = metric if isinstance(metric, Sequence) and not isinstance(metric, str) else [metric]
    return [_metric(m) for m in several]


def _metric(metric: MetricLike) -> Metric:
    if isinstance(metric, str):
        return make_metric(metric, {})
    if not callable(metric):
        return metric
    name = getattr(metric, "__name__", type(metric).__name__)
    return FunctionMetric(name, True, function=metric, arguments=())
