"""Which nodes make one op."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import small_tf
from tf_graphs import bias_add, conv, graph_of, raw, weight

from autoq.adaptors.tensorflow.fusion import FusedOp, Fusion, find_ops
from autoq.adaptors.tensorflow.runtime import tf


def the_op(fusion: Fusion, op_id: str = "conv") -> FusedOp:
    return fusion.by_id[op_id]


@pytest.mark.parametrize("activation", ["Relu", "Relu6"])
def test_a_convolution_with_bias_and_activation_is_one_op(activation: str) -> None:
    op = the_op(find_ops(graph_of(lambda x: getattr(raw, activation)(features=conv(x, 8), name="act"))))
    assert (op.members, op.activation, op.output) == (("conv", "conv_bias", "act"), activation, "act:0")


def test_an_activation_without_a_kernel_stays_a_float_node() -> None:
    op = the_op(find_ops(graph_of(lambda x: tf.nn.elu(conv(x, 8), name="act"))))
    assert (op.activation, op.output) == ("", "conv_bias:0")


def test_what_else_reads_a_convolution_ends_the_op() -> None:
    def write(x: Any) -> Any:
        y = conv(x, 8)
        return raw.Relu(features=y), y

    assert the_op(find_ops(graph_of(write))).output == "conv_bias:0"


def test_a_fetched_tensor_ends_the_op() -> None:
    graph = graph_of(lambda x: raw.Relu(features=conv(x, 8), name="act"))
    fetched = type(graph)(graph.proto, graph.inputs, ("conv_bias:0", "y:0"))
    assert the_op(find_ops(fetched)).output == "conv_bias:0"


def test_a_residual_sum_and_its_relu_belong_to_the_convolution() -> None:
    op = the_op(find_ops(graph_of(lambda x: raw.Relu(features=raw.AddV2(x=x, y=conv(x, 4), name="sum"), name="act"))))
    assert (op.summand, op.operands, op.output) == ("x:0", ("x:0",), "act:0")


def test_a_sum_of_two_convolutions_belongs_to_the_later_one() -> None:
    fusion = find_ops(graph_of(lambda x: raw.AddV2(x=conv(x, 8, name="one"), y=conv(x, 8, name="two"), name="sum")))
    assert [(op.id, op.summand) for op in fusion.ops] == [("one", None), ("two", "one_bias:0")]


def test_a_sum_that_broadcasts_is_not_fused() -> None:
    def write(x: Any) -> Any:
        return conv(x, 4) + raw.Mean(input=x, axis=[1, 2], keep_dims=True)

    assert the_op(find_ops(graph_of(write))).summand is None


def test_a_sum_of_sizes_that_are_not_known_is_not_fused() -> None:
    assert the_op(find_ops(graph_of(lambda x: conv(x, 4) + x, (None, None, None, 4)))).summand is None


def test_a_constant_is_no_summand() -> None:
    op = the_op(find_ops(graph_of(lambda x: conv(x, 4) + weight(2, 8, 8, 4), (2, 8, 8, 4))))
    assert op.summand is None


def test_padding_with_zeros_belongs_to_the_convolution() -> None:
    def write(x: Any) -> Any:
        return conv(raw.Pad(input=x, paddings=[[0, 0], [0, 1], [0, 1], [0, 0]], name="pad"), 8, padding="VALID")

    op = the_op(find_ops(graph_of(write)))
    assert (op.members[:2], op.operands) == (("conv", "pad"), ("x:0",))


def test_padding_of_channels_does_not() -> None:
    def write(x: Any) -> Any:
        return conv(raw.Pad(input=x, paddings=[[0, 0], [0, 1], [0, 1], [0, 4]], name="pad"), 8, padding="VALID")

    assert the_op(find_ops(graph_of(write))).operands == ("pad:0",)


def dense(x: Any) -> Any:
    return bias_add(raw.MatMul(a=x, b=weight(8, 16), name="conv"))


GELUS = {
    "GeluExact": [
        lambda x: tf.nn.gelu(x, approximate=False),
        lambda x: 0.5 * x * tf.math.erfc(-x / math.sqrt(2)),
        lambda x: x * (0.5 + 0.5 * tf.math.erf(x * math.sqrt(0.5))),
    ],
    "GeluApproximate": [
        lambda x: tf.nn.gelu(x, approximate=True),
        lambda x: (x * 0.5) * (tf.tanh((x + 0.044715 * x * x * x) * math.sqrt(2 / math.pi)) + 1.0),
    ],
}


@pytest.mark.parametrize(("kind", "spelling"), [(k, s) for k, several in GELUS.items() for s in several])
def test_gelu_is_recognised_however_it_is_written(kind: str, spelling: Any) -> None:
    op = the_op(find_ops(graph_of(lambda x: spelling(dense(x)), (None, 8))))
    assert op.activation == kind


@pytest.mark.parametrize("other", [lambda x: x * tf.tanh(x), lambda x: 0.6 * x * (1 + tf.math.erf(x)), tf.nn.swish])
def test_what_only_looks_like_gelu_is_not(other: Any) -> None:
    assert the_op(find_ops(graph_of(lambda x: other(dense(x)), (None, 8)))).activation == ""


def test_a_dense_layer_on_sequences_is_one_op_across_its_reshape() -> None:
    def write(x: Any) -> Any:
        rows = raw.MatMul(a=tf.reshape(x, [-1, 8]), b=weight(8, 16), name="conv")
        return raw.Relu(features=bias_add(raw.Reshape(tensor=rows, shape=[-1, 5, 16], name="back")), name="act")

    op = the_op(find_ops(graph_of(write, (None, 5, 8))))
    assert (op.members, op.activation) == (("conv", "back", "back_bias", "act"), "Relu")


def test_a_product_of_two_activations_has_no_weight() -> None:
    op = the_op(find_ops(graph_of(lambda x: raw.MatMul(a=x, b=x, transpose_b=True, name="conv"), (4, 8))))
    assert (op.weight, op.operands) == (None, ("x:0", "x:0"))


@pytest.mark.parametrize(("axes", "found"), [([1, 2], True), ([-3, -2], True), ([1], False), ([1, 2, 3], False)])
def test_only_a_mean_over_height_and_width_is_an_op(axes: list[int], *, found: bool) -> None:
    fusion = find_ops(graph_of(lambda x: raw.Mean(input=x, axis=axes, name="mean")))
    assert ("mean" in fusion.by_id) == found


def test_edges_go_through_float_nodes() -> None:
    fusion = find_ops(graph_of(lambda x: conv(tf.nn.elu(conv(x, 4, name="one")), 4, name="two")))
    assert fusion.edges == (("one", "two"),)


def test_ops_and_their_names_are_the_same_for_two_loads() -> None:
    first, second = (find_ops(small_tf.folded(small_tf.small_cnn())) for _ in range(2))
    assert list(first.ops) == list(second.ops)


def test_every_op_of_a_residual_network_is_found() -> None:
    fusion = find_ops(small_tf.folded(small_tf.small_resnet()))
    kinds = [op.type for op in fusion.ops]
    assert (kinds.count("Conv2D"), kinds.count("Mean"), kinds.count("MatMul")) == (6, 1, 1)
    assert sum(op.summand is not None for op in fusion.ops) == 2


def test_an_op_runs_behind_what_it_reads() -> None:
    fusion = find_ops(small_tf.folded(small_tf.small_resnet()))
    place = {op.output: i for i, op in enumerate(fusion.ops)}
    assert all(place.get(name, -1) < i for i, op in enumerate(fusion.ops) for name in op.reads)


def test_float64_convolutions_are_no_ops() -> None:
    def write(x: Any) -> Any:
        wide = tf.cast(x, tf.float64)
        return raw.Conv2D(input=wide, filter=weight(3, 3, 4, 4).astype(np.float64), strides=[1] * 4, padding="SAME")

    assert not find_ops(graph_of(write)).ops
