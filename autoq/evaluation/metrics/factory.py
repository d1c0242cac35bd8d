"""Metrics by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeGuard, cast

from autoq.config.schema import MetricSection
from autoq.core.errors import ConfigError
from autoq.core.function import is_function_name, load_function
from autoq.core.suggest import did_you_mean
from autoq.evaluation.metrics.base import Metric
from autoq.evaluation.metrics.classification import F1, Agreement, TopK
from autoq.evaluation.metrics.detection import COCO_THRESHOLDS, MeanAveragePrecision
from autoq.evaluation.metrics.function import FunctionMetric
from autoq.evaluation.metrics.regression import Correlation, LogLoss, MeanError, RocAuc, RootMeanSquaredError
from autoq.evaluation.metrics.text import TextErrorRate

ALIASES: Mapping[str, str] = {
    "top1": "accuracy",
    "top5": "topk",
    "map": "mean_average_precision",
    "cer": "character_error_rate",
    "wer": "word_error_rate",
    "auc": "roc_auc",
    "cross_entropy": "log_loss",
    "spearmanr": "spearman",
    "pearsonr": "pearson",
}
"""Other names of the same metrics."""

_AVERAGES = ("macro", "micro", "weighted", "binary")


def _accuracy(name: str) -> Metric:
    return TopK(name)


def _topk(name: str, k: int = 5) -> Metric:
    if not _is_count(k):
        raise ConfigError(f"metric '{name}': k must be a whole number of at least 1, not {k!r}")
    return TopK(name, k=k)


def _f1(name: str, average: str = "macro") -> Metric:
    return F1(name, average=_choice(name, "average", average, _AVERAGES))


def _mse(name: str) -> Metric:
    return MeanError(name, kind="squared")


def _mae(name: str) -> Metric:
    return MeanError(name, kind="absolute")


def _rmse(name: str) -> Metric:
    return RootMeanSquaredError(name)


def _pearson(name: str) -> Metric:
    return Correlation(name, kind="pearson")


def _spearman(name: str) -> Metric:
    return Correlation(name, kind="spearman")


def _roc_auc(name: str, average: str = "macro") -> Metric:
    return RocAuc(name, average=_choice(name, "average", average, ("macro", "weighted")))


def _log_loss(name: str) -> Metric:
    return LogLoss(name)


def _agreement(name: str, axis: int = -1, threshold: float | None = None) -> Metric:
    if not isinstance(axis, int) or isinstance(axis, bool) or axis == 0:
        raise ConfigError(f"metric '{name}': axis is the axis of the classes (axis 0 holds the samples), not {axis!r}")
    if threshold is not None and not _is_number(threshold):
        raise ConfigError(f"metric '{name}': threshold must be a number, not {threshold!r}")
    return Agreement(name, axis=axis, threshold=threshold)


def _map(name: str, iou_thresholds: float | Sequence[float] = COCO_THRESHOLDS, max_detections: int = 100) -> Metric:
    given = iou_thresholds if isinstance(iou_thresholds, list | tuple) else [iou_thresholds]
    if not given or not all(_is_number(t) and 0 < t <= 1 for t in given):
        raise ConfigError(f"metric '{name}': iou_thresholds lie above 0 and up to 1, not {iou_thresholds!r}")
    if not _is_count(max_detections):
        raise ConfigError(f"metric '{name}': max_detections must be at least 1, not {max_detections!r}")
    return MeanAveragePrecision(name, thresholds=tuple(map(float, given)), max_detections=max_detections)


def _cer(name: str, ignore_case: bool = False) -> Metric:
    return TextErrorRate(name, unit="character", ignore_case=bool(ignore_case))


def _wer(name: str, ignore_case: bool = False) -> Metric:
    return TextErrorRate(name, unit="word", ignore_case=bool(ignore_case))


_MAKERS: Mapping[str, Callable[..., Metric]] = {
    "accuracy": _accuracy,
    "topk": _topk,
    "f1": _f1,
    "mse": _mse,
    "rmse": _rmse,
    "mae": _mae,
    "pearson": _pearson,
    "spearman": _spearman,
    "roc_auc": _roc_auc,
    "log_loss": _log_loss,
    "agreement": _agreement,
    "mean_average_precision": _map,
    "character_error_rate": _cer,
    "word_error_rate": _wer,
}


def metric_names() -> list[str]:
    """Every name `make_metric` knows, aliases included."""
    return sorted([*_MAKERS, *ALIASES])


def make_metric(
    name: str | Callable[[Any, Any], float],
    arguments: Mapping[str, Any] | None = None,
    higher_is_better: bool | None = None,
) -> Metric:
    """A metric by name, or a user's function or its ``package.module:function``.

    Args:
        name: A name of `metric_names`, a function ``(predictions, labels) -> float``, or where it lies.
        arguments: The metric's arguments; a function gets them as keyword arguments.
        higher_is_better: Direction of a user's function (better when higher by default); for a named metric it may
            only repeat the metric's own.

    Raises:
        ConfigError: Unknown name or argument, or a direction that contradicts the metric's.
    """
    given = dict(arguments or {})
    higher = True if higher_is_better is None else higher_is_better
    if not isinstance(name, str):
        shown = getattr(name, "__name__", type(name).__name__)
        return FunctionMetric(shown, higher, function=name, arguments=tuple(given.items()))
    if is_function_name(name):
        return FunctionMetric(name, higher, function=load_function(name), arguments=tuple(given.items()))
    maker = _MAKERS.get(ALIASES.get(name, name))
    if maker is None:
        raise ConfigError(f"unknown metric '{name}'", hint=did_you_mean(name, metric_names()))
    known = [p for p in inspect.signature(maker).parameters if p != "name"]
    for argument in given:
        if argument not in known:
            raise ConfigError(
                f"metric '{name}' has no argument '{argument}'",
                hint=did_you_mean(argument, known) if known else "it takes none",
            )
    metric = maker(name, **given)
    if higher_is_better is not None and higher_is_better != metric.higher_is_better:
        better = "higher" if metric.higher_is_better else "lower"
        raise ConfigError(
            f"metric '{name}' is better when {better}, not the other way round",
            hint="leave higher_is_better out for named metrics",
        )
    return metric


def make_metrics(sections: Iterable[MetricSection]) -> list[Metric]:
    """One metric per section of the job, in order, with names made unique.

    A second metric of the same name, e.g. topk with another k, gets ``#2`` after its name.

    Raises:
        ConfigError: As `make_metric`.
    """
    metrics: list[Metric] = []
    for section in sections:
        metric = make_metric(section.name, section.arguments, section.higher_is_better)
        count = 1 + sum(m.name.partition("#")[0] == metric.name for m in metrics)
        metrics.append(metric if count == 1 else _renamed(metric, f"{metric.name}#{count}"))
    return metrics


def _renamed(metric: Metric, name: str) -> Metric:
    return cast("Metric", replace(cast("Any", metric), name=name))


def direction(name: str) -> bool | None:
    """Whether higher is better; None for a user's function, which does not say.

    Raises:
        ConfigError: Unknown name.
    """
    return None if is_function_name(name) else make_metric(name).higher_is_better


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _choice(name: str, argument: str, value: object, choices: tuple[str, ...]) -> str:
    if value not in choices:
        raise ConfigError(f"metric '{name}': {argument} must be one of {', '.join(choices)}, not {value!r}")
    return str(value)
