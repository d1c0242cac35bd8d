"""Metrics that give nothing to compare, and promises that nothing can keep."""

from __future__ import annotations

import sys

import numpy as np
import pytest

IN_A_CHILD = ("tune", "job.yaml")


@pytest.fixture
def metric(place, monkeypatch):
    """Makes a function the job's metric."""

    def use(body: str) -> None:
        (place.folder / "my_metric.py").write_text(f"def f(predictions, labels):\n    {body}\n")
        place.write_job(evaluation__accuracy__metric={"name": "my_metric:f", "higher_is_better": True})

    monkeypatch.syspath_prepend(str(place.folder))
    monkeypatch.setenv("PYTHONPATH", str(place.folder))
    yield use
    sys.modules.pop("my_metric", None)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("return float('nan')", "gave nan"),
        ("return float('inf')", "gave inf"),
        ("return 'good'", "must return a number, not str"),
        ("return None", "must return a number, not NoneType"),
        ("raise KeyError('x')", "raised KeyError"),
        ("return 1 / 0", "raised ZeroDivisionError"),
    ],
)
def test_a_metric_that_gives_no_number(place, metric, body, said):
    metric(body)
    place.refused(5, "my_metric:f", said)


def test_a_metric_error_is_the_same_through_a_child_process(place, metric):
    metric("return float('nan')")
    place.refused(5, "my_metric:f", "gave nan", command=IN_A_CHILD)


def test_a_metric_that_cannot_be_imported(place, metric):
    metric("syntax error here")
    place.refused(2, "cannot import module 'my_metric'", "SyntaxError")


def test_a_metric_that_is_undefined_on_the_labels(place):
    place.change_data("digits.npz", label=lambda a: np.where(a["label"] == 3, 4, a["label"]))
    place.write_job(evaluation__accuracy__metric="roc_auc")
    place.refused(5, "fp32 model", "metric 'roc_auc' is undefined: no sample is of class 3")


def test_a_metric_that_is_undefined_on_the_held_out_labels_is_told_before_the_search(place):
    def one_class_at_the_end(archive):
        labels = archive["label"].copy()
        labels[120:] = 0
        return labels

    place.change_data("digits.npz", label=one_class_at_the_end)
    loader = {"batch_size": 20, "dataset": {"npz": {"path": "digits.npz", "inputs": ["image"], "labels": "label"}}}
    place.write_job(
        evaluation__accuracy={
            "metric": "roc_auc",
            "dataloader": {**loader, "limit": 120},
            "held_out": {**loader, "offset": 120},
        }
    )
    place.refused(5, "held-out", "metric 'roc_auc' is undefined")


def test_a_relative_limit_of_a_score_of_zero(place):
    place.change_data("digits.npz", label=lambda a: (a["label"] + 1) % 10)
    place.write_job(tuning__accuracy_criterion={"relative": 0.01})
    place.refused(5, "the fp32 model itself scores 0 on 'top1'", "absolute limit")


def test_a_guarantee_that_the_samples_are_too_few_for(place):
    place.write_job(tuning__accuracy_criterion={"absolute": 0.005, "guarantee": "population"})
    place.refused(5, "no model can keep the promise on 'top1'", "180 samples", "more evaluation samples")


def test_a_guarantee_that_the_samples_are_enough_for_is_not_refused(place):
    place.write_job(
        tuning__accuracy_criterion={"absolute": 0.05, "guarantee": "population"}, tuning__exit_policy={"max_trials": 1}
    )
    place.refused(0)


def test_labels_of_one_class_only(place):
    place.change_data("digits.npz", label=lambda a: np.zeros_like(a["label"]))
    place.write_job(tuning__accuracy_criterion={"absolute": 0.05}, tuning__exit_policy={"max_trials": 1})
    place.refused(0)  # little to learn from, but nothing wrong
