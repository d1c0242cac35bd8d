"""Graphs built from plans: right, in 8 bits where the plan says so, and converted only at the borders."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
import small_tf
from hypothesis import given, settings
from hypothesis import strategies as st
from tf_graphs import (
    Case,
    bias_add,
    case_of,
    conv,
    graph_of,
    images,
    model_of,
    plan_of,
    raw,
    static,
    types,
    weight,
)

from autoq.adaptors.tensorflow.build import build
from autoq.adaptors.tensorflow.fusion import find_ops
from autoq.adaptors.tensorflow.model import TensorFlowModel
from autoq.adaptors.tensorflow.runtime import tf
from autoq.core.errors import TrialError
from autoq.core.plan import Plan
from autoq.core.precision import Granularity, Mode, Observer, OpPrecision
from autoq.core.statistics import Calibration

BORDERS = ("QuantizeV2", "Dequantize")
VIEWS = ("Bitcast",)
SMALL = {
    "cnn": (small_tf.small_cnn, small_tf.pictures),
    "resnet": (small_tf.small_resnet, small_tf.pictures),
    "transformer": (small_tf.small_transformer, small_tf.sequences),
    "mlp": (small_tf.small_mlp, small_tf.features),
}


def without(proto: Any, *left_out: str) -> list[str]:
    return [kind for kind in types(proto) if kind not in left_out]


@cache
def small(name: str) -> Case:
    make, data = SMALL[name]
    frozen = small_tf.freeze(make())
    graph = small_tf.fold(frozen)
    return case_of(TensorFlowModel(frozen, find_ops(graph), "test", 1), data(16))


def error_of(write: Any, x: np.ndarray, shape: Any = (None, 8, 8, 4)) -> tuple[float, list[str]]:
    case = case_of(model_of(graph_of(write, shape)), x)
    proto = case.built()
    return case.error(proto), without(proto, *VIEWS)


# -- whole models ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SMALL)
def test_a_model_in_8_bits_is_close_to_float(name: str) -> None:
    assert small(name).error(small(name).built()) <= 0.02


def test_a_residual_network_has_one_conversion_in_and_none_out() -> None:
    kinds = types(small("resnet").built())
    assert (kinds.count("QuantizeV2"), kinds.count("Dequantize"), kinds.count("AddV2")) == (1, 0, 0)
    assert kinds.count("_FusedQuantizedConv2D") == 6


@pytest.mark.parametrize(
    "precision",
    [static(observer) for observer in Observer] + [static(granularity=Granularity.PER_TENSOR)],
    ids=lambda precision: precision.label,
)
def test_every_precision_gives_a_model_that_works(precision: OpPrecision) -> None:
    case = small("cnn")
    assert case.error(case.built(plan_of(case.model.fusion, precision=precision))) <= 0.08


@pytest.mark.parametrize("name", ["cnn", "resnet", "transformer"])
@settings(max_examples=6)
@given(data=st.data())
def test_any_choice_of_ops_is_close_to_float(name: str, data: st.DataObject) -> None:
    case = small(name)
    chosen = data.draw(st.sets(st.sampled_from(list(plan_of(case.model.fusion)))))
    proto = case.built(plan_of(case.model.fusion, sorted(chosen)))
    assert case.error(proto) <= 0.02
    assert {node.name.removesuffix("/quantized") for node in proto.node if node.name.endswith("/quantized")} == chosen


def test_a_plan_gives_the_same_bytes_twice() -> None:
    first, second = (small("cnn").built().SerializeToString(deterministic=True) for _ in range(2))
    assert first == second


def test_building_leaves_the_model_as_it_was() -> None:
    proto = small("cnn").model.graph.proto
    before = proto.SerializeToString(deterministic=True)
    small("cnn").built()
    assert proto.SerializeToString(deterministic=True) == before


def test_the_float_weights_of_8_bit_ops_are_left_out() -> None:
    case = small("resnet")
    weights = {tensor.partition(":")[0] for op in case.model.fusion.ops if (tensor := op.weight) is not None}
    assert weights.isdisjoint(node.name for node in case.built().node)


# -- single patterns ------------------------------------------------------------------------------------------------

PATTERNS: dict[str, Any] = {
    "negative values between convolutions": lambda x: conv(conv(x, 8, name="a"), 8, 1, name="b"),
    "negative values before padding": lambda x: conv(conv(x, 8, name="a"), 8, 3, name="b", strides=[1, 2, 2, 1]),
    "sum of negative values": lambda x: conv(x, 4) + x,
    "sum, then padding": lambda x: conv(raw.AddV2(x=conv(x, 4, name="a"), y=x), 4, name="b"),
    "sum with relu6": lambda x: raw.Relu6(features=conv(x, 4, seed=3) * 1.0 + x),
    "relu6 of large values": lambda x: raw.Relu6(features=conv(x * 20.0, 8)),
    "depthwise": lambda x: bias_add(
        raw.DepthwiseConv2dNative(input=x, filter=weight(3, 3, 4, 1), strides=[1, 2, 2, 1], padding="SAME", name="d")
    ),
    "depthwise with two filters": lambda x: bias_add(
        raw.DepthwiseConv2dNative(input=x, filter=weight(3, 3, 4, 2), strides=[1, 1, 1, 1], padding="SAME", name="d")
    ),
    "dilated": lambda x: conv(x, 8, dilations=[1, 2, 2, 1]),
    "explicit padding": lambda x: conv(x, 8, padding="EXPLICIT", explicit_paddings=[0, 0, 1, 2, 0, 1, 0, 0]),
    "padding of its own": lambda x: conv(
        raw.Pad(input=conv(x, 8, name="a"), paddings=[[0, 0], [2, 1], [0, 1], [0, 0]]), 8, padding="VALID"
    ),
    "no bias": lambda x: raw.Conv2D(input=x, filter=weight(3, 3, 4, 8), strides=[1] * 4, padding="SAME", name="c"),
    "max pool": lambda x: raw.MaxPool(input=conv(x, 8), ksize=[1, 3, 3, 1], strides=[1, 2, 2, 1], padding="SAME"),
    "average pool": lambda x: raw.AvgPool(value=conv(x, 8), ksize=[1, 2, 2, 1], strides=[1, 2, 2, 1], padding="SAME"),
    "mean": lambda x: raw.Mean(input=conv(x, 8), axis=[1, 2], name="m"),
    "mean that keeps its axes": lambda x: raw.Mean(input=conv(x, 8), axis=[1, 2], keep_dims=True, name="m"),
}


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_pattern_in_8_bits_is_close_to_float(pattern: str) -> None:
    assert error_of(PATTERNS[pattern], images())[0] <= 0.025


def then(move: Any) -> Any:
    """A convolution, something that moves its values, and a convolution that reads them in 8 bits."""
    return lambda x: conv(move(conv(x, 8, name="a")), 8, 1, name="b")


MOVES = {
    "concat": then(lambda y: tf.concat([y, y * 3.0], 3)),
    "concat of two": lambda x: conv(
        tf.concat([raw.Relu(features=conv(x, 8, name="a")), conv(x, 4, name="c")], 3), 8, name="b"
    ),
    "slice": then(lambda y: y[:, 1:, ::2]),
    "pad": then(lambda y: tf.pad(y, [[0, 0], [1, 0], [0, 2], [0, 0]])),
    "transpose": then(lambda y: tf.transpose(y, [0, 2, 1, 3])),
    "resize": then(lambda y: raw.ResizeNearestNeighbor(images=y, size=[16, 16])),
    "reshape": then(lambda y: tf.reshape(y, [-1, 4, 16, 8])),
    "relu": then(lambda y: raw.Relu(features=tf.identity(y))),
    "relu6": then(lambda y: raw.Relu6(features=tf.identity(y))),
    "squeeze": then(lambda y: tf.expand_dims(tf.squeeze(y[:, :1], [1]), 1)),
}


@pytest.mark.parametrize("move", MOVES)
def test_what_only_moves_values_stays_in_8_bits(move: str) -> None:
    error, kinds = error_of(MOVES[move], images())
    assert error <= 0.03
    extra = move == "concat"  # its second part is made in float
    assert [kinds.count(kind) for kind in BORDERS] == [1 + extra, 1 + extra]


PRODUCTS = {
    "plain": lambda y: y,
    "relu": tf.nn.relu,
    "relu6": tf.nn.relu6,
    "tanh": tf.tanh,
    "sigmoid": tf.sigmoid,
    "gelu": tf.nn.gelu,
    "approximate gelu": lambda y: tf.nn.gelu(y, approximate=True),
}


@pytest.mark.parametrize("activation", PRODUCTS)
@pytest.mark.parametrize("layers", [1, 2])
def test_dense_layers_in_8_bits_are_close_to_float(activation: str, layers: int) -> None:
    def write(x: Any) -> Any:
        for layer in range(layers):
            x = PRODUCTS[activation](
                bias_add(raw.MatMul(a=x, b=weight(16, 16, seed=layer), name=f"dense{layer}"), layer)
            )
        return x

    x = np.random.default_rng(0).standard_normal((32, 16)).astype(np.float32)
    error, kinds = error_of(write, x, (None, 16))
    assert error <= 0.03
    assert (kinds.count("_QuantizedMatMul"), kinds.count("Dequantize")) == (layers, 0)


def test_a_transposed_weight_is_turned() -> None:
    def write(x: Any) -> Any:
        return raw.MatMul(a=x, b=weight(24, 16), transpose_b=True, name="dense")

    assert error_of(write, images(8, 1, 16).reshape(8, 16), (None, 16))[0] <= 0.02


# -- summands: the kernel adds in place -----------------------------------------------------------------------------


def test_what_is_added_may_be_what_the_kernel_reads() -> None:
    def write(x: Any) -> Any:
        first = raw.Relu(features=conv(x, 4, name="first"))
        return raw.Relu(features=conv(first, 4, name="sum") + first)

    error, kinds = error_of(write, images())
    assert (error <= 0.02, kinds.count("Snapshot")) == (True, 1)


def test_what_the_kernel_reads_may_share_the_memory_of_what_is_added() -> None:
    def write(x: Any) -> Any:
        first = raw.Relu(features=conv(x, 4, name="first"))
        return raw.Relu(features=conv(tf.reshape(first, [-1, 8, 8, 4]), 4, name="sum") + first)

    error, kinds = error_of(write, images())
    assert (error <= 0.02, kinds.count("Snapshot")) == (True, 1)


def test_two_sums_may_read_one_tensor() -> None:
    def write(x: Any) -> Any:
        shared = raw.Relu(features=conv(x, 4, name="first"))
        return conv(shared, 4, name="a") + shared, conv(shared, 4, name="b") + shared

    assert error_of(write, images())[0] <= 0.02


def test_what_is_added_may_be_read_later() -> None:
    def write(x: Any) -> Any:
        shared = raw.Relu(features=conv(x, 4, name="first"))
        summed = conv(shared, 4, name="a") + shared
        return tf.concat([conv(summed, 4, name="b"), shared], 3), shared * 2.0

    assert error_of(write, images())[0] <= 0.02


def test_what_is_added_may_share_its_memory() -> None:
    def write(x: Any) -> Any:
        whole = conv(x, 4, name="first")
        view = tf.reshape(whole, [-1, 8, 8, 4])
        return conv(whole, 4, name="a") + view, conv(whole, 4, 1, name="c")

    assert error_of(write, images())[0] <= 0.02


def test_sums_of_signed_tensors_run_on_unsigned_views_of_them() -> None:
    def write(x: Any) -> Any:
        image = tf.reshape(tf.tanh(bias_add(raw.MatMul(a=x, b=weight(16, 256), name="dense"))), [-1, 8, 8, 4])
        summed = conv(image, 4, name="sum") + image
        return conv(tf.concat([summed, image], 3), 4, 1, name="last")

    error, kinds = error_of(write, images(8, 1, 16).reshape(8, 16), (None, 16))
    assert error <= 0.03
    assert (kinds.count("BitwiseXor"), kinds.count("Dequantize")) == (2, 1)


def test_a_copy_is_made_only_where_it_is_needed() -> None:
    assert "Snapshot" not in types(small("resnet").built())


# -- borders --------------------------------------------------------------------------------------------------------


def test_a_tensor_is_converted_once_for_all_that_read_it() -> None:
    def write(x: Any) -> Any:
        return tuple(conv(x, 4, name=name) for name in "abc")

    assert error_of(write, images())[1].count("QuantizeV2") == 1


def test_float_readers_share_one_conversion() -> None:
    def write(x: Any) -> Any:
        y = conv(x, 4)
        return tf.exp(y), tf.sin(y), y

    assert error_of(write, images())[1].count("Dequantize") == 1


def test_float_tensors_keep_their_names() -> None:
    model = model_of(graph_of(lambda x: tf.exp(conv(x, 4), name="after")))
    proto = case_of(model, images()).built()
    assert {"x", "conv_bias", "after", "y"} <= {node.name for node in proto.node}


# -- what cannot be built -------------------------------------------------------------------------------------------


def test_a_plan_with_an_unknown_op_is_refused() -> None:
    model = model_of(graph_of(lambda x: conv(x, 4)))
    with pytest.raises(TrialError, match="nothing"):
        build(model, Plan({"nothing": static()}), None)


def test_static_ops_need_calibration() -> None:
    model = model_of(graph_of(lambda x: conv(x, 4)))
    with pytest.raises(TrialError, match="calibration"):
        build(model, plan_of(model.fusion), None)


def test_missing_statistics_are_named() -> None:
    model = model_of(graph_of(lambda x: conv(x, 4)))
    with pytest.raises(TrialError, match=r"x:0.*statistics"):
        build(model, plan_of(model.fusion), Calibration({}, 1, "empty"))


def test_a_mode_that_tensorflow_lacks_is_refused() -> None:
    model = model_of(graph_of(lambda x: conv(x, 4)))
    with pytest.raises(TrialError, match="weight_only"):
        build(model, Plan({"conv": OpPrecision(Mode.WEIGHT_ONLY, static().weight)}), None)


def test_a_channel_of_tiny_weights_does_not_overflow_its_bias() -> None:
    def write(x: Any) -> Any:
        values = weight(1, 1, 4, 4)
        values[..., 0] *= 1e-12
        return bias_add(raw.Conv2D(input=x, filter=values, strides=[1] * 4, padding="SAME", name="conv"))

    assert error_of(write, images())[0] <= 0.02
