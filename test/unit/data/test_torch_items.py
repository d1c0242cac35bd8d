"""Batches as users of PyTorch and transformers have them."""

import numpy as np
import pytest
import torch
from transformers import BatchEncoding

from autoq.core.batch import TensorSpec
from autoq.core.errors import DataError
from autoq.data.sources import open_data

IDS = torch.arange(12).reshape(4, 3)
TEXT = {"input_ids": IDS, "attention_mask": torch.ones_like(IDS)}
SPECS = [TensorSpec("input_ids", "int64", ("batch", None)), TensorSpec("attention_mask", "int64", ("batch", None))]


def only(data, specs=SPECS):
    (batch,) = open_data(data, input_specs=specs, batch_size=4).batches()
    return batch


@pytest.mark.parametrize("make", [dict, BatchEncoding])
@pytest.mark.parametrize("wrap", [lambda text: [text], lambda text: text])
def test_mappings_of_tensors_go_by_name(make, wrap):
    batch = only(wrap(make(TEXT)))
    assert list(batch.inputs) == ["input_ids", "attention_mask"]
    assert np.array_equal(batch.inputs["input_ids"], IDS.numpy())
    assert batch.samples == 4


def test_a_batch_encoding_may_hold_its_labels():
    batch = only([BatchEncoding({**TEXT, "labels": torch.tensor([3, 2, 1, 0])})])
    assert batch.labels.tolist() == [3, 2, 1, 0]


def test_a_batch_encoding_may_stand_beside_its_labels():
    assert only([(BatchEncoding(TEXT), torch.arange(4))]).labels.tolist() == [0, 1, 2, 3]


def test_a_loader_of_dicts_is_read():
    samples = [{name: tensor[i] for name, tensor in TEXT.items()} | {"labels": i} for i in range(4)]
    batches = list(open_data(torch.utils.data.DataLoader(samples, batch_size=2), input_specs=SPECS).batches())
    assert [b.labels.tolist() for b in batches] == [[0, 1], [2, 3]]


def test_one_tensor_is_all_samples():
    specs = [TensorSpec("x", "float32", ("batch", 3))]
    source = open_data(torch.ones(10, 3), input_specs=specs, batch_size=4)
    assert [b.samples for b in source.batches()] == [4, 4, 2]


def test_tensors_with_gradients_and_in_bfloat16_are_read():
    assert only([torch.ones(4, 3, requires_grad=True)], None).inputs.dtype == np.float32
    assert only([torch.ones(4, 3, dtype=torch.bfloat16)], None).inputs.dtype == np.float32


@pytest.mark.parametrize(
    ("second", "told"),
    [
        ({"input_ids": IDS}, "a dict of input_ids"),
        ([IDS, IDS], "a list of 2"),
        (IDS, "an array"),
    ],
)
def test_a_loader_that_changes_its_structure_is_told_with_both(second, told):
    with pytest.raises(DataError) as caught:
        list(open_data([TEXT, TEXT, second]).batches())
    assert str(caught.value).startswith("data, item 2: the data change their structure")
    assert f"the first item is a dict of attention_mask, input_ids, this one {told}" in str(caught.value)
