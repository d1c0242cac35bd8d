"""Calibration and evaluation data that do not fit."""

from __future__ import annotations

import numpy as np
import pytest

IN_A_CHILD = ("tune", "job.yaml")
LOADER = "quantization__calibration__dataloader__dataset__npz"


def with_a(value: float):
    def change(archive):
        images = archive["image"].copy()
        images[7, 0, 3, 3] = value
        return images

    return change


def test_empty_calibration_data(place):
    place.change_data("calibration.npz", image=np.zeros((0, 1, 8, 8), np.float32))
    place.refused(4, "calibration data", "there are no samples", "dataloader")


def test_empty_evaluation_data(place):
    place.change_data("digits.npz", image=np.zeros((0, 1, 8, 8), np.float32), label=np.zeros(0, np.int64))
    place.refused(4, "evaluation data", "there are no samples")


def test_an_input_the_model_does_not_have(place):
    place.write_job(**{LOADER: {"path": "calibration.npz", "inputs": {"picture": "image"}}})
    place.refused(4, "calibration data", "the model has no input 'picture'", "image")


def test_an_array_the_file_does_not_have(place):
    place.write_job(**{LOADER: {"path": "calibration.npz", "inputs": {"image": "picture"}}})
    place.refused(4, "calibration.npz", "no array 'picture'", "there are: image")


@pytest.mark.parametrize("name", ["calibration.npz", "digits.npz"])
def test_a_wrong_shape(place, name):
    place.change_data(name, image=lambda a: np.pad(a["image"], ((0, 0), (0, 0), (0, 1), (0, 0))))
    place.refused(4, "input 'image' takes [n, 1, 8, 8], the data have [20, 1, 9, 8]")


def test_a_missing_axis(place):
    place.change_data("digits.npz", image=lambda a: a["image"][:, 0])
    place.refused(4, "evaluation data (tune split)", "rank 4", "rank 3")


def test_a_wrong_dtype(place):
    place.change_data("calibration.npz", image=lambda a: (a["image"] * 16).astype(np.uint8))
    place.refused(4, "calibration data", "takes float32, the data give uint8", ".astype")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_calibration_data_that_are_not_finite(place, value):
    place.change_data("calibration.npz", image=with_a(value))
    place.refused(4, "calibration data", f"input 'image' holds {value} in sample 7", "remove the sample")


def test_evaluation_data_that_are_not_finite(place):
    place.change_data("digits.npz", image=with_a(np.nan))
    place.refused(4, "evaluation data", "input 'image' holds nan")
    place.refused(4, "evaluation data", "input 'image' holds nan", command=IN_A_CHILD)


def test_labels_that_are_not_named(place):
    place.write_job(evaluation__accuracy__dataloader__dataset__npz={"path": "digits.npz", "inputs": ["image"]})
    place.refused(4, "metric 'top1' needs labels", "agreement")


def test_labels_that_are_not_in_the_file(place):
    place.change_data("digits.npz", label=None)
    place.refused(4, "digits.npz", "no array 'label'", "there are: image")


def test_too_few_labels(place):
    place.change_data("digits.npz", label=lambda a: a["label"][:-3])
    place.refused(4, "237 labels for 240 samples")


def test_labels_that_are_no_classes(place):
    place.change_data("digits.npz", label=lambda a: a["label"] + 0.5)
    place.refused(4, "labels of metric 'top1' must be whole numbers")


@pytest.mark.parametrize("content", [b"", b"these are words", b"PK\x03\x04" + bytes(100)])
def test_a_file_that_is_no_npz(place, content):
    (place.folder / "digits.npz").write_bytes(content)
    place.refused(4, "digits.npz", "numpy.save")


def test_a_truncated_npz(place):
    data = (place.folder / "digits.npz").read_bytes()
    (place.folder / "digits.npz").write_bytes(data[: len(data) // 2])
    place.refused(4, "digits.npz")


def test_pickled_objects_are_not_loaded(place):
    np.savez(place.folder / "digits.npz", image=np.array([{}], dtype=object), label=np.zeros(1))
    place.refused(4, "digits.npz", "Python objects")


def test_a_fixed_batch_size_of_the_model(place):
    place.change_model(lambda m: setattr(m.graph.input[0].type.tensor_type.shape.dim[0], "dim_value", 7))
    place.refused(4, "the model's batch size is fixed: set batch_size", "7 rows")
