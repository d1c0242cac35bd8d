import numpy as np
import pytest
import torch
from small_torch import inputs_for, small_transformer
from torch import nn

from autoq.adaptors.pytorch.signature import Signature, as_tensor, signature_of
from autoq.core.batch import TensorSpec
from autoq.core.errors import DataError

IDS = np.zeros((2, 5), np.int64)


class Three(nn.Module):
    def forward(self, a, b=None, c=None):
        return a


class Open(nn.Module):
    def forward(self, a, **others):
        return a


def test_an_array_is_the_first_parameter():
    signature, (tensor,) = signature_of(Three(), np.ones((2, 3), np.float32))
    assert signature.inputs == (TensorSpec("a", "float32", ("batch", None)),)
    assert signature.bind(np.ones((7, 3), np.float32))[0][0].shape == (7, 3)
    assert tensor.dtype == torch.float32


def test_a_list_is_positional():
    signature, _ = signature_of(Three(), [IDS, IDS + 1])
    args, kwargs = signature.bind([IDS, IDS + 1])
    assert signature.names == ("a", "b")
    assert torch.equal(args[1], torch.ones(2, 5, dtype=torch.int64))
    assert not kwargs


def test_a_dict_goes_by_name_in_the_order_of_forward():
    signature, _ = signature_of(small_transformer(), dict(reversed(inputs_for("small_transformer").items())))
    assert signature.names == ("input_ids", "attention_mask")
    assert signature.positional == 2


def test_what_follows_a_gap_is_passed_by_name():
    signature, _ = signature_of(Three(), {"c": IDS, "a": IDS})
    args, kwargs = signature.bind({"c": IDS + 3, "a": IDS})
    assert len(args) == 1
    assert torch.equal(kwargs["c"], torch.full((2, 5), 3))


def test_keywords_that_forward_collects_are_passed_by_name():
    signature, _ = signature_of(Open(), {"a": IDS, "extra": IDS})
    assert list(signature.bind({"a": IDS, "extra": IDS})[1]) == ["extra"]


def test_a_batch_encoding_is_a_dict_of_tensors():
    import transformers

    encoding = transformers.BatchEncoding({"input_ids": torch.zeros(2, 5, dtype=torch.int64)})
    signature, _ = signature_of(small_transformer(), encoding)
    assert signature.names == ("input_ids",)


def test_an_unknown_name_is_told_with_the_nearest():
    with pytest.raises(DataError, match="did you mean 'attention_mask'"):
        signature_of(small_transformer(), {"input_ids": IDS, "attention_msk": IDS})


def test_too_many_arrays_are_told():
    with pytest.raises(DataError, match="takes 2 inputs, and the batch has 3"):
        signature_of(small_transformer(), [IDS, IDS, IDS])


@pytest.fixture
def bound():
    return Signature(
        (TensorSpec("ids", "int64", ("batch", None)), TensorSpec("image", "float32", ("batch", 3, None))), 2
    )


def image(shape=(2, 3, 4), dtype=np.float32):
    return np.ones(shape, dtype)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"ids": IDS}, "needs an input 'image'"),
        ({"ids": IDS, "image": image(), "mask": IDS}, "does not take an input 'mask'"),
        ([IDS], "takes 2 inputs, and the batch has 1"),
        ({"ids": IDS, "image": image((2, 4, 4))}, r"takes \[batch, 3, any\], not \[2, 4, 4\]"),
        ({"ids": IDS[None], "image": image()}, r"takes \[batch, any\], not \[1, 2, 5\]"),
        ({"ids": IDS, "image": image(dtype=np.complex64)}, "takes float32, not complex64"),
        ({"ids": IDS.astype(np.float32), "image": image()}, "takes int64, not float32"),
    ],
)
def test_a_batch_that_does_not_fit_is_a_data_error(bound, inputs, message):
    with pytest.raises(DataError, match=message):
        bound.bind(inputs)


def test_other_widths_of_the_same_kind_are_converted(bound):
    ids, pixels = bound.tensors({"ids": IDS.astype(np.int32), "image": image(dtype=np.float64)})
    assert (ids.dtype, pixels.dtype) == (torch.int64, torch.float32)


def test_a_signature_survives_json(bound):
    assert Signature.from_json(bound.to_json()) == bound


def test_read_only_and_reversed_arrays_become_tensors():
    array = np.arange(6, dtype=np.float32)
    array.flags.writeable = False
    assert torch.equal(as_tensor(array[::-1], "x"), torch.arange(5.0, -1.0, -1.0))
