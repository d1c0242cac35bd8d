import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from autoq.config.schema import MetricSection
from autoq.core.batch import Batch
from autoq.core.errors import ConfigError, DataError, EvaluationError
from autoq.core.records import Records
from autoq.evaluation.metrics import Metric, direction, make_metric, make_metrics, metric_names

GENERATOR = np.random.default_rng(0)


def batch(labels, samples=None):
    return Batch(np.zeros((1, 1)), labels, len(labels) if samples is None else samples)


def score(metric, predictions, labels):
    records = metric.records(predictions, batch(labels))
    return metric.score(records, records)


@pytest.fixture
def logits():
    return GENERATOR.normal(size=(60, 5)).astype(np.float32)


@pytest.fixture
def labels():
    return GENERATOR.integers(0, 5, 60)


def test_accuracy_takes_scores_or_class_indices(logits, labels):
    expected = sklearn.metrics.accuracy_score(labels, logits.argmax(1))
    assert score(make_metric("accuracy"), {"logits": logits}, labels) == pytest.approx(expected)
    assert score(make_metric("top1"), logits.argmax(1), labels) == pytest.approx(expected)


@pytest.mark.parametrize("k", [1, 2, 4])
def test_topk_agrees_with_scikit_learn(logits, labels, k):
    expected = sklearn.metrics.top_k_accuracy_score(labels, logits, k=k, labels=np.arange(5))
    assert score(make_metric("topk", {"k": k}), logits, labels) == pytest.approx(expected)


def test_topk_of_classes_that_tie_counts_k_classes_only():
    assert score(make_metric("topk", {"k": 2}), np.zeros((1, 5)), [4]) == 0.0


def test_accuracy_of_sequences_is_the_mean_of_samples_without_ignored_positions():
    predictions = np.array([[1, 1, 1], [2, 2, 2]])
    assert score(make_metric("accuracy"), predictions, np.array([[1, 0, -100], [2, 2, 2]])) == 0.75


@pytest.mark.parametrize("average", ["macro", "micro", "weighted"])
def test_f1_agrees_with_scikit_learn(logits, labels, average):
    expected = sklearn.metrics.f1_score(labels, logits.argmax(1), average=average)
    assert score(make_metric("f1", {"average": average}), logits, labels) == pytest.approx(expected)


def test_errors_of_regression():
    x, y = GENERATOR.normal(size=(20, 3)), GENERATOR.normal(size=(20, 3))
    assert score(make_metric("mse"), x, y) == pytest.approx(sklearn.metrics.mean_squared_error(y, x))
    assert score(make_metric("mae"), x, y) == pytest.approx(sklearn.metrics.mean_absolute_error(y, x))
    assert score(make_metric("rmse"), x, y) == pytest.approx(
        sklearn.metrics.root_mean_squared_error(y.ravel(), x.ravel())
    )


@given(st.lists(st.tuples(st.integers(-5, 5), st.integers(-5, 5)), min_size=2, max_size=20))
def test_correlations_agree_with_scipy_ties_included(pairs):
    x, y = np.array(pairs, dtype=float).T
    for name, expected in (("pearson", stats.pearsonr), ("spearman", stats.spearmanr)):
        metric = make_metric(name)
        if len(set(x)) == 1 or len(set(y)) == 1:
            with pytest.raises(EvaluationError, match="undefined"):
                score(metric, x, y)
        else:
            assert score(metric, x, y) == pytest.approx(expected(x, y).statistic, abs=1e-9)


def test_roc_auc_of_two_and_more_classes(logits, labels):
    binary = (labels > 2).astype(int)
    assert score(make_metric("roc_auc"), logits[:, 0], binary) == pytest.approx(
        sklearn.metrics.roc_auc_score(binary, logits[:, 0])
    )
    margin = sklearn.metrics.roc_auc_score(binary, logits[:, 1] - logits[:, 0])
    assert score(make_metric("roc_auc"), logits[:, :2], binary) == pytest.approx(margin)
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    expected = sklearn.metrics.roc_auc_score(labels, probabilities, multi_class="ovr")
    assert score(make_metric("roc_auc"), logits, labels) == pytest.approx(expected, abs=1e-6)


def test_log_loss_agrees_with_scikit_learn(logits, labels):
    probabilities = np.exp(logits.astype(float)) / np.exp(logits.astype(float)).sum(1, keepdims=True)
    expected = sklearn.metrics.log_loss(labels, probabilities, labels=np.arange(5))
    assert score(make_metric("log_loss"), probabilities, labels) == pytest.approx(expected, rel=1e-5)
    with pytest.raises(EvaluationError, match="add softmax"):
        score(make_metric("log_loss"), logits, labels)


def agreement(ours, theirs, **arguments):
    metric = make_metric("agreement", arguments)
    samples = len(next(iter(ours.values()))) if isinstance(ours, dict) else len(ours)
    mine, reference = (metric.records(p, Batch(np.zeros(1), None, samples)) for p in (ours, theirs))
    return metric.score(mine, reference)


def test_agreement_compares_with_fp32_and_needs_no_labels(logits):
    other = logits.copy()
    other[:15] = -other[:15]
    assert agreement(logits, logits) == 1.0
    assert agreement(other, logits) == 0.75
    assert make_metric("agreement").compares_with_fp32


def test_agreement_of_sequences_and_of_several_outputs():
    ours = {"a": np.eye(3)[[[0, 1], [2, 2]]], "b": np.eye(2)[[0, 1]]}
    theirs = {"a": np.eye(3)[[[0, 1], [2, 0]]], "b": np.eye(2)[[1, 1]]}
    assert agreement(ours, theirs) == pytest.approx((2 / 3 + 2 / 3) / 2)


def test_agreement_of_decoded_text_counts_positions_of_the_longer():
    assert agreement(["abc", "", "xy"], ["abd", "", "x"]) == pytest.approx((2 / 3 + 1 + 0.5) / 3)


def test_agreement_of_one_number_needs_a_threshold():
    with pytest.raises(EvaluationError, match="threshold"):
        agreement(np.ones((4, 1)), np.ones((4, 1)))
    assert agreement(np.array([0.2, 0.8]), np.array([0.6, 0.9]), threshold=0.5) == 0.5


def test_agreement_with_the_class_axis_in_front():
    maps = GENERATOR.normal(size=(2, 3, 4, 4))
    assert agreement(maps, maps, axis=1) == 1.0
    metric = make_metric("agreement", {"axis": 1})
    assert len(metric.records(maps, Batch(np.zeros(1), None, 2))[0]) == 16


def slow_distance(a, b):
    table = [[i + j if i * j == 0 else 0 for j in range(len(b) + 1)] for i in range(len(a) + 1)]
    for i in range(1, len(a) + 1):
        for j in range(1, len(b) + 1):
            table[i][j] = min(table[i - 1][j] + 1, table[i][j - 1] + 1, table[i - 1][j - 1] + (a[i - 1] != b[j - 1]))
    return table[-1][-1]


@given(st.text("abc", max_size=9), st.text("abc", max_size=9))
def test_edit_distance_is_levenshteins(a, b):
    from autoq.evaluation.metrics.text import edit_distance

    assert edit_distance(a, b) == slow_distance(a, b)


def test_error_rates_divide_all_edits_by_all_references():
    assert score(make_metric("cer"), ["abd", "x"], ["abc", "xyz"]) == pytest.approx(3 / 6)
    assert score(make_metric("wer"), ["the cat", "a"], ["the dog", "a b"]) == pytest.approx(2 / 4)
    assert score(make_metric("cer", {"ignore_case": True}), ["ABC"], ["abc"]) == 0.0


def test_function_metric_gets_arrays_and_labels():
    seen = {}

    def mean_gap(predictions, labels, factor=1):
        seen.update(predictions=predictions, labels=labels)
        return factor * float(np.abs(predictions[:, 0] - labels).mean())

    metric = make_metric(mean_gap, {"factor": 2}, higher_is_better=False)
    found = [metric.records(np.array([[1.0], [2.0]]), batch(np.array([1, 1]))) for _ in range(2)]
    records = Records.from_bytes(Records.concatenate(found).to_bytes())
    assert metric.score(records, records) == 1.0
    assert (seen["predictions"].shape, seen["labels"].dtype) == ((4, 1), np.int64)
    assert not metric.higher_is_better


def test_function_metric_gets_lists_of_text_and_of_uneven_arrays():
    metric = make_metric(lambda texts, boxes: len(texts) + sum(len(b) for b in boxes))
    records = metric.records(["añ", ""], batch([np.ones((2, 4)), np.ones((0, 4))]))
    assert metric.score(records, records) == 4.0


def test_function_metric_without_labels_gets_none():
    metric = make_metric(lambda predictions, labels: 1.0 if labels is None else 0.0)
    records = metric.records(np.ones((3, 2)), Batch(np.zeros(1), None, 3))
    assert metric.score(records, records) == 1.0


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda p, y: 1 / 0, "raised ZeroDivisionError"),
        (lambda p, y: "good", "must return a number"),
        (lambda p, y: float("nan"), "gave nan"),
        (lambda p: 1.0, "raised TypeError"),
    ],
)
def test_a_function_that_fails_is_explained(function, message):
    with pytest.raises(EvaluationError, match=message):
        score(make_metric(function), np.ones((2, 1)), [0, 1])


@pytest.mark.parametrize(
    ("name", "predictions", "labels", "error", "message"),
    [
        ("accuracy", np.ones((3, 4)), None, DataError, "needs labels"),
        ("accuracy", np.ones((3, 4)), [0, 1], DataError, "2 labels for 3 samples"),
        ("accuracy", np.ones((3, 4)), [0, 1, 4], DataError, "label 4 lies outside of the model's 4 classes"),
        ("accuracy", np.ones((3, 4)), [0, 1, 0.5], DataError, "whole numbers"),
        ("accuracy", np.ones((3, 4)), np.eye(4)[:3], DataError, "not one-hot"),
        ("accuracy", np.ones((3, 4)), ["a", "b", "c"], DataError, "numeric labels"),
        ("accuracy", np.ones((3, 1)), [0, 1, 0], EvaluationError, "class scores"),
        ("accuracy", np.ones((6, 4)), [0, 1, 0], EvaluationError, "rows_per_sample"),
        ("accuracy", {"a": np.ones((3, 4)), "b": np.ones(3)}, [0, 1, 0], EvaluationError, "select"),
        ("accuracy", ["a", "b", "c"], [0, 1, 0], EvaluationError, "takes numbers"),
        ("topk", np.ones((3, 4)), [0, 1, 0], EvaluationError, "always right"),
        ("mse", np.ones((3, 4)), np.ones((3, 2)), DataError, "labels of shape"),
        ("roc_auc", np.ones((3, 2)), [0, 0, 0], EvaluationError, "same class"),
        ("roc_auc", np.ones((3, 2)), [0, 1, 2], DataError, "from 0 to 1"),
        ("cer", np.ones((3, 2)), ["a", "b", "c"], EvaluationError, "ctc_greedy"),
        ("cer", ["a", "b", "c"], ["", "", ""], DataError, "every reference text is empty"),
        ("map", np.ones((3, 2)), [[], [], []], EvaluationError, "[boxes, 6]"),
    ],
)
def test_what_does_not_fit_is_explained(name, predictions, labels, error, message):
    metric = make_metric(name)

    def scored():
        records = metric.records(predictions, Batch(np.zeros(1), labels, 3))
        return metric.score(records, records)

    with pytest.raises(error) as caught:
        scored()
    assert message in str(caught.value)


def test_sections_of_one_name_are_told_apart():
    sections = [MetricSection(name="topk"), MetricSection(name="mse"), MetricSection(name="topk", arguments={"k": 3})]
    assert [m.name for m in make_metrics(sections)] == ["topk", "mse", "topk#2"]


def test_names_that_are_unknown_get_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'accuracy'"):
        make_metric("acuracy")
    with pytest.raises(ConfigError, match="no argument 'kk'"):
        make_metric("topk", {"kk": 3})
    with pytest.raises(ConfigError, match="it takes none"):
        make_metric("mse", {"k": 3})


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("topk", {"k": 0}),
        ("topk", {"k": True}),
        ("f1", {"average": "mean"}),
        ("agreement", {"axis": 0}),
        ("agreement", {"threshold": "x"}),
        ("map", {"iou_thresholds": [1.5]}),
        ("map", {"iou_thresholds": []}),
        ("map", {"max_detections": 0}),
        ("no_such_module_here:f", {}),
    ],
)
def test_arguments_out_of_range_are_mistakes_of_the_job(name, arguments):
    with pytest.raises(ConfigError):
        make_metric(name, arguments)


def test_a_direction_that_contradicts_the_metric_is_refused():
    assert make_metric("mse", {}, higher_is_better=False).name == "mse"
    with pytest.raises(ConfigError, match="better when lower"):
        make_metric("mse", {}, higher_is_better=True)


def test_every_name_makes_a_metric_of_that_name_with_a_direction():
    lower = {"mse", "mae", "rmse", "log_loss", "cross_entropy", "cer", "wer"}
    lower |= {"character_error_rate", "word_error_rate"}
    for name in metric_names():
        metric = make_metric(name)
        assert isinstance(metric, Metric)
        assert metric.name == name
        assert direction(name) == (name not in lower)
    assert direction("package.module:function") is None


def test_error_rates_refuse_labels_that_lost_their_text():
    metric = make_metric("cer")
    with pytest.raises(DataError, match=r"one text per sample as label, not 1\.5"):
        metric.records(["1.50"], Batch(np.zeros(1), [1.5], 1))
    assert metric.records(["12"], Batch(np.zeros(1), np.array([12]), 1)).values.tolist() == [[0, 2]]
