"""Metrics by name, one record per sample so that scores can be paired, extended and resampled."""

from autoq.evaluation.metrics.base import Metric
from autoq.evaluation.metrics.factory import direction, make_metric, make_metrics, metric_names

__all__ = ["Metric", "direction", "make_metric", "make_metrics", "metric_names"]
