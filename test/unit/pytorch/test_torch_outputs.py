import dataclasses
from typing import NamedTuple

import numpy as np
import pytest
import torch

from autoq.adaptors.pytorch.outputs import flatten, to_numpy
from autoq.core.errors import ModelError

X = torch.ones(2, 3)


class Pair(NamedTuple):
    scores: torch.Tensor
    boxes: list[torch.Tensor]


@dataclasses.dataclass
class Result:
    logits: torch.Tensor
    loss: torch.Tensor | None = None


@pytest.mark.parametrize(
    ("raw", "names"),
    [
        (X, ["output"]),
        ((X,), ["output"]),
        ((X, X), ["output_0", "output_1"]),
        ([X, None, X], ["output_0", "output_2"]),
        ({"logits": X, "states": (X, X)}, ["logits", "states_0", "states_1"]),
        (Pair(X, [X, X]), ["scores", "boxes_0", "boxes_1"]),
        (((X, X), (X,)), ["output_0_0", "output_0_1", "output_1_0"]),
        (Result(X), ["logits"]),
        ({"a": {"b": X}, "a_b": X}, ["a_b", "a_b_1"]),
    ],
)
def test_outputs_have_stable_names(raw, names):
    assert list(flatten(raw)) == names


def test_a_model_output_of_transformers_goes_by_its_fields():
    from transformers.modeling_outputs import BaseModelOutputWithPooling

    raw = BaseModelOutputWithPooling(last_hidden_state=X, pooler_output=X)
    assert list(flatten(raw)) == ["last_hidden_state", "pooler_output"]


def test_an_output_without_tensors_is_told():
    with pytest.raises(ModelError, match="returns no tensor"):
        flatten({"loss": None})


def test_an_unreadable_output_is_told_by_name():
    with pytest.raises(ModelError, match=r"output boxes_1: .*returns a str"):
        flatten({"boxes": [X, "text"]})


def test_bfloat16_becomes_float32():
    array = to_numpy(X.bfloat16())
    assert array.dtype == np.float32
    assert np.array_equal(array, np.ones((2, 3)))


def test_quantized_tensors_become_floats():
    assert np.allclose(to_numpy(torch.quantize_per_tensor(X, 0.5, 0, torch.quint8)), 1.0)
