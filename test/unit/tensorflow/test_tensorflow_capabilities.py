"""What the table offers per op, and what it says of ops it offers nothing for."""

from __future__ import annotations

from typing import Any

import pytest
from tf_graphs import conv, graph_of, model_of, raw, weight

from autoq.adaptors.tensorflow.capabilities import capability_table
from autoq.adaptors.tensorflow.forms import Form, all_forms
from autoq.adaptors.tensorflow.runtime import tf
from autoq.core.capability import Capability
from autoq.core.errors import ModelError
from autoq.core.precision import Granularity, Observer

ANYTHING = (None, 8, 8, 4)


def row(write: Any, op_id: str, shape: Any = ANYTHING, refused: dict[Form, str] | None = None) -> Capability:
    return capability_table(model_of(graph_of(write, shape)), {}, refused or {})[op_id]


def test_a_convolution_is_offered_every_observer_and_granularity() -> None:
    precisions = row(lambda x: conv(x, 8), "conv").precisions
    observers = {p.activation.observer for p in precisions if p.activation is not None}
    granularities = {p.weight.granularity for p in precisions if p.weight is not None}
    assert observers == set(Observer)
    assert granularities == {Granularity.PER_CHANNEL, Granularity.PER_TENSOR}


def test_a_pool_behind_an_8_bit_op_is_offered_without_weight() -> None:
    found = row(lambda x: raw.MaxPool(input=conv(x, 8), ksize=[2] * 4, strides=[2] * 4, padding="SAME", name="p"), "p")
    assert found.note == "it pools over samples or channels"
    square = [1, 2, 2, 1]
    found = row(lambda x: raw.MaxPool(input=conv(x, 8), ksize=square, strides=square, padding="SAME", name="p"), "p")
    assert all(p.weight is None for p in found.precisions)
    assert len(found.precisions) == 5


def test_a_pool_that_reads_float_is_not() -> None:
    def write(x: Any) -> Any:
        return conv(raw.AvgPool(value=x, ksize=[1, 2, 2, 1], strides=[1, 2, 2, 1], padding="SAME", name="p"), 8)

    found = row(write, "p")
    assert (len(found.precisions), "float" in found.note) == (1, True)


REASONS: dict[str, tuple[Any, str]] = {
    "weights that are computed": (
        lambda x: raw.Conv2D(
            input=x,
            filter=tf.reshape(tf.reduce_sum(x) * weight(4, 4), [1, 1, 4, 4]),
            strides=[1] * 4,
            padding="SAME",
            name="odd",
        ),
        "not constant",
    ),
    "channels first": (
        lambda x: raw.Conv2D(
            input=x, filter=weight(1, 1, 8, 4), strides=[1] * 4, padding="SAME", data_format="NCHW", name="odd"
        ),
        "NCHW",
    ),
    "groups": (
        lambda x: raw.Conv2D(input=x, filter=weight(1, 1, 2, 4), strides=[1] * 4, padding="SAME", name="odd"),
        "grouped",
    ),
    "two activations": (
        lambda x: raw.MatMul(a=tf.reshape(x, [-1, 4]), b=tf.reshape(x, [-1, 4]), transpose_b=True, name="odd"),
        "two activations",
    ),
    "a batch of products": (lambda x: raw.BatchMatMulV2(x=x, y=x, adj_y=True, name="odd"), "two activations"),
    "a transposed operand": (
        lambda x: raw.MatMul(a=tf.reshape(x, [4, -1]), b=weight(4, 4), transpose_a=True, name="odd"),
        "transposed",
    ),
}


@pytest.mark.parametrize("reason", REASONS)
def test_what_has_no_8_bit_kernel_says_why(reason: str) -> None:
    write, text = REASONS[reason]
    found = row(lambda x: (write(x), conv(x, 8)), "odd")
    assert len(found.precisions) == 1
    assert text in found.note


def test_a_mean_over_a_size_that_is_not_known_says_so() -> None:
    found = row(lambda x: raw.Mean(input=conv(x, 8), axis=[1, 2], name="m"), "m", (None, None, None, 4))
    assert "not known" in found.note


def test_a_kernel_that_does_not_work_here_is_not_offered() -> None:
    broken = {form: "it ends the process" for form in all_forms() if "Sum" in form.fused}

    def write(x: Any) -> Any:
        return conv(conv(x, 4, name="plain"), 4, name="summed") + x

    table = capability_table(model_of(graph_of(write)), {}, broken)
    assert len(table["plain"].precisions) > 1
    assert "it ends the process" in table["summed"].note
    assert len(table["summed"].precisions) == 1


def test_what_was_probed_replaces_the_cost() -> None:
    model = model_of(graph_of(lambda x: conv(x, 8)))
    plain = capability_table(model, {}, {})["conv"]
    probed = {("Conv2D", plain.precisions[0].label): 0.125, ("Conv2D", plain.precisions[1].label): None}
    found = capability_table(model, probed, {})["conv"]
    assert (found.costs[0], found.origin) == (0.125, "probed on this machine")
    assert plain.precisions[1] not in found.precisions


def test_a_model_with_nothing_to_quantize_is_an_error_that_says_what_it_has() -> None:
    with pytest.raises(ModelError) as raised:
        capability_table(model_of(graph_of(lambda x: tf.exp(x))), {}, {})
    assert "Exp" in str(raised.value.hint)


def test_it_is_told_which_ops_do_a_residual_sum() -> None:
    assert "residual sum" in row(lambda x: x + conv(x, 4), "conv").note
    assert not row(lambda x: conv(x, 4), "conv").note
