import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoq.core.batch import Batch, TensorSpec
from autoq.core.errors import DataError
from autoq.data.check import check_inputs

IDS = TensorSpec("input_ids", "int64", ("batch", "sequence"))
MASK = TensorSpec("attention_mask", "int64", ("batch", "sequence"))
IMAGE = TensorSpec("image", "float32", (None, 3, 4, 5))

PHOTO = TensorSpec("image", "float32", (None, 4, 5, 3))
DIGIT = TensorSpec("image", "float32", (None, 16, 16, 1))


def batch(inputs, samples=2):
    return Batch(inputs, None, samples)


def ids(*shape, dtype=np.int64):
    return np.ones(shape, dtype=dtype)


def image(*shape, dtype=np.float32):
    return np.zeros(shape or (2, 3, 4, 5), dtype=dtype)


def test_names_follow_the_models_order():
    checked = check_inputs(batch({"attention_mask": ids(2, 7), "input_ids": ids(2, 7)}), [IDS, MASK])
    assert list(checked.inputs) == ["input_ids", "attention_mask"]


def test_positional_arrays_get_the_models_names():
    assert list(check_inputs(batch([ids(2, 7), ids(2, 7)]), [IDS, MASK]).inputs) == ["input_ids", "attention_mask"]
    assert list(check_inputs(batch(image()), [IMAGE]).inputs) == ["image"]


@pytest.mark.parametrize("dtype", [np.int32, np.uint8, np.bool_, np.int64])
def test_integers_that_fit_are_cast(dtype):
    checked = check_inputs(batch(ids(2, 7, dtype=dtype)), [IDS])
    assert checked.inputs["input_ids"].dtype == np.int64


@pytest.mark.parametrize("dtype", [np.float64, np.float16])
def test_floats_are_cast_to_float32(dtype):
    assert check_inputs(batch(image(dtype=dtype)), [IMAGE]).inputs["image"].dtype == np.float32


@given(st.integers(-(2**63), 2**63 - 1), st.sampled_from(["int8", "uint8", "int32", "uint64"]))
def test_integer_casts_never_change_a_value(value, want):
    spec = TensorSpec("x", want, (None,))
    limits = np.iinfo(want)
    given_batch = Batch(np.array([value]), None, 1)
    if limits.min <= value <= limits.max:
        assert int(check_inputs(given_batch, [spec]).inputs["x"][0]) == value
    else:
        with pytest.raises(DataError, match="cannot hold"):
            check_inputs(given_batch, [spec])


@pytest.mark.parametrize(
    ("inputs", "specs", "message"),
    [
        ({"input_id": ids(2, 7), "attention_mask": ids(2, 7)}, [IDS, MASK], "did you mean 'input_ids'"),
        ({"input_ids": ids(2, 7)}, [IDS, MASK], "no values for the model's input 'attention_mask'"),
        ([ids(2, 7)], [IDS, MASK], "takes 2 inputs"),
        (ids(2, 7), [IDS, MASK], "2-tuple means"),
        (ids(2, 7), [IMAGE], "takes float32, the data give int64"),
        (image(), [IDS], "whole numbers such as token ids"),
        (image(3, 4, 5), [IMAGE], "batch axis missing"),
        (image(2, 4, 5, 3), [IMAGE], "the data look like NHWC, the model takes NCHW"),
        (image(2, 3, 4, 5), [PHOTO], "the data look like NCHW, the model takes NHWC"),
        (image(2, 1, 16, 16), [DIGIT], "the data look like NCHW, the model takes NHWC"),
        (image(2, 3, 4, 6), [IMAGE], "the data have [2, 3, 4, 6]"),
        ([ids(2, 7), ids(2, 8)], [IDS, MASK], "axis 'sequence' is 7 in input 'input_ids' and 8"),
        (image(), [TensorSpec("image", "float32", (1, 3, 4, 5))], "batch size is fixed"),
        (np.full((2, 3, 4, 5), 1e300), [IMAGE], "cannot hold 1e+300"),
    ],
)
def test_what_does_not_fit_is_explained(inputs, specs, message):
    with pytest.raises(DataError) as caught:
        check_inputs(batch(inputs), specs)
    assert message in str(caught.value)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_non_finite_values_name_input_and_sample(value):
    data = image(4, 3, 4, 5)
    data[3, 0, 1, 1] = value
    with pytest.raises(DataError, match=r"input 'image' holds (nan|inf) in sample 11"):
        check_inputs(Batch(data, None, 2), [IMAGE], first_sample=10)


def test_an_empty_batch_is_an_error():
    with pytest.raises(DataError, match="no samples"):
        check_inputs(Batch(image(0, 3, 4, 5), None, 0), [IMAGE])


def test_labels_and_sample_count_pass_through():
    checked = check_inputs(Batch(image(), [1, 2], 2), [IMAGE])
    assert checked.labels == [1, 2]
    assert checked.samples == 2
