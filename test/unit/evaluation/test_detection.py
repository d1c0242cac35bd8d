import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoq.core.batch import Batch
from autoq.core.errors import ConfigError, DataError, EvaluationError
from autoq.evaluation.metrics import make_metric
from autoq.evaluation.metrics.detection import pairwise_iou
from autoq.evaluation.postprocess import make_postprocess
from autoq.evaluation.postprocess.boxes import suppress


def average_precision(predictions, labels, **arguments):
    metric = make_metric("map", arguments)
    records = metric.records(predictions, Batch(np.zeros(1), labels, len(labels)))
    return metric.score(records, records)


def box(x, score=None, label=0, size=10):
    corners = [x, 0, x + size, size]
    return [*corners, label] if score is None else [*corners, score, label]


def test_iou_of_known_boxes():
    first = np.array([[0.0, 0, 10, 10]])
    second = np.array([[0.0, 0, 10, 10], [5, 0, 15, 10], [10, 0, 20, 10], [3, 3, 3, 3]])
    assert pairwise_iou(first, second)[0] == pytest.approx([1, 1 / 3, 0, 0])


def test_perfect_detections_score_one():
    truth = [[box(0), box(30, label=2)], [box(5)]]
    found = [[box(0, 0.9), box(30, 0.8, 2)], [box(5, 0.4)]]
    assert average_precision(found, truth) == 1.0


def test_a_missed_box_costs_recall():
    # Recall ends at 1/2: precision 1 at the 51 recall points up to .5.
    assert average_precision([[box(0, 0.9)]], [[box(0), box(50)]]) == pytest.approx(51 / 101)


def test_a_false_alarm_above_the_hit_halves_precision():
    assert average_precision([[box(50, 0.9), box(0, 0.8)]], [[box(0)]]) == pytest.approx(0.5)
    assert average_precision([[box(50, 0.7), box(0, 0.8)]], [[box(0)]]) == 1.0


def test_one_truth_is_taken_once():
    assert average_precision([[box(0, 0.9), box(0, 0.95)], [box(0, 0.1)]], [[box(0)], [box(0)]]) == pytest.approx(
        (51 + 50 * 2 / 3) / 101
    )


def test_thresholds_decide_what_is_a_hit():
    # IoU 9/11: a hit at .5 to .8, a miss at .85 to .95.
    assert average_precision([[box(1, 0.9)]], [[box(0)]]) == pytest.approx(0.7)
    assert average_precision([[box(1, 0.9)]], [[box(0)]], iou_thresholds=0.5) == 1.0


def test_classes_without_truth_do_not_count_and_classes_are_averaged():
    assert average_precision([[box(0, 0.9), box(70, 0.9, 7)]], [[box(0), box(50, label=1)]]) == 0.5


def test_max_detections_keeps_the_best():
    assert average_precision([[box(50, 0.9), box(0, 0.8)]], [[box(0)]], max_detections=1) == 0.0


def test_no_detections_score_zero_and_no_truth_is_undefined():
    assert average_precision([np.empty((0, 6))], [[box(0)]]) == 0.0
    with pytest.raises(DataError, match="no sample has a labelled box"):
        average_precision([[box(0, 0.5)]], [[]])


def test_boxes_of_the_wrong_width_are_explained():
    with pytest.raises(DataError, match=r"labels of shape \[boxes, 5\]"):
        average_precision([[box(0, 0.5)]], [[[1, 2, 3, 4]]])
    with pytest.raises(EvaluationError, match=r"predictions of shape \[boxes, 6\]"):
        average_precision([[box(0)]], [[box(0)]])


@given(st.integers(0, 1000))
def test_the_score_lies_in_range_and_follows_scores_by_rank_only(seed):
    generator = np.random.default_rng(seed)

    def boxes(count):
        corner = generator.uniform(0, 20, (count, 2))
        return np.concatenate([corner, corner + generator.uniform(5, 15, (count, 2))], axis=1)

    truth = [np.concatenate([boxes(3), generator.integers(0, 2, (3, 1))], axis=1) for _ in range(3)]
    found = [
        np.concatenate([boxes(6), generator.uniform(0.1, 1, (6, 1)), generator.integers(0, 2, (6, 1))], axis=1)
        for _ in range(3)
    ]
    value = average_precision(found, truth)
    squeezed = [f.copy() for f in found]
    for f in squeezed:
        f[:, 4] **= 3
    assert 0 <= value <= 1
    assert average_precision(squeezed, truth) == pytest.approx(value)


def slow_suppression(boxes, classes, threshold):
    kept = []
    for i in range(len(boxes)):
        overlaps = [pairwise_iou(boxes[i : i + 1], boxes[j : j + 1])[0, 0] for j in kept if classes[j] == classes[i]]
        if all(o <= threshold for o in overlaps):
            kept.append(i)
    return kept


@given(st.integers(0, 1000), st.floats(0.05, 1))
def test_suppression_is_greedy_per_class(seed, threshold):
    generator = np.random.default_rng(seed)
    corner = generator.uniform(0, 10, (12, 2))
    boxes = np.concatenate([corner, corner + generator.uniform(1, 10, (12, 2))], axis=1)
    classes = generator.integers(0, 2, 12).astype(float)
    assert suppress(boxes, classes, threshold).tolist() == slow_suppression(boxes, classes, threshold)


def decode(outputs, samples=1, **arguments):
    return make_postprocess([("boxes", arguments)])(outputs, Batch(np.zeros(1), None, samples))


@pytest.mark.parametrize(
    ("layout", "numbers"),
    [("xyxy", [2, 4, 12, 24]), ("yxyx", [4, 2, 24, 12]), ("xywh", [2, 4, 10, 20]), ("cxcywh", [7, 14, 10, 20])],
)
def test_layouts_give_the_same_corners(layout, numbers):
    (found,) = decode({"o": np.array([[[*numbers, 0.1, 0.7]]])}, layout=layout, score_threshold=0.5)
    assert found.tolist() == [[2, 4, 12, 24, 0.7, 1]]


def test_objectness_multiplies_class_scores():
    (found,) = decode({"o": np.array([[[0, 0, 1, 1, 0.5, 0.8]]])}, objectness=True)
    assert found[0, 4:].tolist() == [0.4, 0]


def test_channels_first_outputs():
    raw = np.array([[[0, 0, 1, 1, 0.2, 0.8], [5, 5, 6, 6, 0.9, 0.1]]]).transpose(0, 2, 1)
    (found,) = decode({"o": raw}, channels_first=True, score_threshold=0.5)
    assert found[:, 4:].tolist() == [[0.9, 0], [0.8, 1]]


def test_separate_outputs_of_boxes_scores_and_classes():
    outputs = {
        "b": np.array([[[0, 0, 0.5, 1], [0.5, 0.5, 1, 1]]]),
        "s": np.array([[0.9, 0.01]]),
        "c": np.array([[3.0, 4.0]]),
    }
    (found,) = decode(outputs, boxes="b", scores="s", classes="c", scale=[200, 100])
    assert found.tolist() == [[0, 0, 100, 100, 0.9, 3]]


def test_background_class_is_dropped():
    outputs = {"b": np.array([[[0, 0, 1, 1.0]]]), "s": np.array([[[0.9, 0.3, 0.6]]])}
    (found,) = decode(outputs, boxes="b", scores="s", background=0)
    assert found[:, 4:].tolist() == [[0.6, 1], [0.3, 0]]


def test_overlapping_boxes_of_one_class_keep_the_best_and_counts_are_limited():
    raw = np.array([[[0, 0, 10, 10, 0.5], [0, 0, 10, 11, 0.9], [50, 0, 60, 10, 0.4]]])
    assert decode({"o": raw})[0][:, 4].tolist() == [0.9, 0.4]
    assert len(decode({"o": raw}, iou_threshold=None)[0]) == 3
    assert len(decode({"o": raw}, max_detections=1)[0]) == 1


def test_no_box_above_the_threshold_gives_an_empty_array():
    (found,) = decode({"o": np.zeros((1, 4, 6))})
    assert found.shape == (0, 6)


@pytest.mark.parametrize(
    ("outputs", "arguments", "error", "message"),
    [
        ({"o": np.zeros((1, 4, 4))}, {}, EvaluationError, "hold no class scores"),
        ({"o": np.zeros((4, 6))}, {}, EvaluationError, "[samples, boxes, numbers]"),
        ({"o": np.zeros((2, 4, 6))}, {}, EvaluationError, "2 rows for 1 samples"),
        ({"b": np.zeros((1, 4, 4)), "s": np.zeros((1, 3, 2))}, {"boxes": "b", "scores": "s"}, EvaluationError, "fit"),
        ({"b": np.zeros((1, 4, 4))}, {"boxes": "x"}, EvaluationError, "no output 'x'"),
        ({}, {"layout": "corners"}, ConfigError, "layout must be one of"),
        ({}, {"iou_threshold": 2.0}, ConfigError, "iou_threshold"),
        ({}, {"classes": "c"}, ConfigError, "classes needs scores"),
        ({}, {"scale": [1, 2, 3]}, ConfigError, "scale"),
    ],
)
def test_outputs_that_do_not_fit_are_explained(outputs, arguments, error, message):
    with pytest.raises(error) as caught:
        decode(outputs, **arguments)
    assert message in str(caught.value)
