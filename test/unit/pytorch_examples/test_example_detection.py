"""Boxes survive encoding and decoding, and the targets say what the decoder reads."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from autoq.core.batch import Batch
from autoq.evaluation.metrics.detection import MeanAveragePrecision
from autoq.evaluation.postprocess.factory import make_postprocess
from examples.pytorch import detection
from examples.pytorch.training import detect

_SIDE = 96
_corner = st.floats(0, 80)
_length = st.floats(0.5, 16)
_share = st.floats(0.05, 0.95)


@given(_corner, _corner, _length, _length, _share, _share, st.sampled_from(sorted(detection.STRIDES.values())))
def test_decoding_inverts_encoding(
    x: float, y: float, width: float, height: float, across: float, down: float, stride: int
) -> None:
    box = np.array([[x, y, x + width, y + height]])
    point = np.array([[x + across * width, y + down * height]])
    decoded = detection.decode_boxes(detection.encode(box, point, stride), point, stride)
    assert np.allclose(decoded, box, rtol=0, atol=1e-9)


def test_locations_are_the_middles_of_the_steps() -> None:
    assert detection.locations(2, 3, 8).tolist() == [[4, 4], [12, 4], [20, 4], [4, 12], [12, 12], [20, 12]]


def test_absurd_regressions_do_not_overflow() -> None:
    decoded = detection.decode_boxes(np.full((1, 4), 1e4, np.float32), np.zeros((1, 2)), 8)
    assert np.isfinite(decoded).all()


_BOXES = np.array([[10, 12, 34, 36, 3], [40, 40, 84, 80, 7]], np.float32)


def _perfect_outputs() -> dict[str, np.ndarray]:
    """What a detector without fault would say about `_BOXES`."""
    targets = detect.assign([_BOXES], _SIDE)
    outputs, start = {}, 0
    for level, stride in detection.STRIDES.items():
        steps = _SIDE // stride
        part = slice(start, start := start + steps * steps)
        classes, answering = targets.classes[0, part].numpy(), targets.classes[0, part].numpy() >= 0
        logits = np.full((steps * steps, 10), -20.0)
        logits[np.flatnonzero(answering), classes[answering]] = 20
        regressions = np.zeros((steps * steps, 4))
        points = detection.locations(steps, steps, stride)
        boxes = targets.boxes[0, part].numpy()
        regressions[answering] = detection.encode(boxes[answering], points[answering], stride)
        parts = {"classes": logits, "boxes": regressions, "centerness": np.full((steps * steps, 1), 20.0)}
        outputs |= {f"{k}_{level}": v.T.reshape(1, -1, steps, steps).astype(np.float32) for k, v in parts.items()}
    return outputs


def test_the_postprocess_of_a_job_finds_the_boxes_of_perfect_outputs() -> None:
    steps = [
        ("examples.pytorch.detection:decode", {}),
        ("boxes", {"boxes": "boxes", "scores": "scores"}),
    ]
    batch = Batch(np.zeros((1, 1, _SIDE, _SIDE), np.float32), [_BOXES], 1)
    (found,) = make_postprocess(steps)(_perfect_outputs(), batch)
    by_class = found[np.argsort(found[:, 5])]
    assert np.allclose(by_class[:, [0, 1, 2, 3, 5]], _BOXES, atol=1e-3)


def test_perfect_outputs_reach_an_average_precision_of_one() -> None:
    steps = [("examples.pytorch.detection:decode", {}), ("boxes", {"boxes": "boxes", "scores": "scores"})]
    batch = Batch(np.zeros((1, 1, _SIDE, _SIDE), np.float32), [_BOXES], 1)
    metric = MeanAveragePrecision("map")
    records = metric.records(make_postprocess(steps)(_perfect_outputs(), batch), batch)
    assert metric.score(records, records) == pytest.approx(1.0)


def test_every_box_has_a_location_that_answers_for_it() -> None:
    targets = detect.assign([_BOXES], _SIDE)
    answered = {tuple(box) for box in targets.boxes[0][targets.classes[0] >= 0].tolist()}
    assert answered == {tuple(box) for box in _BOXES[:, :4].tolist()}


def test_the_loss_of_a_box_that_fits_is_zero() -> None:
    boxes = torch.tensor([[1.0, 2.0, 5.0, 9.0]])
    assert detect._generalized_iou(boxes, boxes).item() == pytest.approx(1.0)
