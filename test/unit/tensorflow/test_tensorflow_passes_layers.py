"""Folding BatchNorm, bias and dense layers: the same outputs, and one plain layer left."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import small_tf
from hypothesis import given, settings
from hypothesis import strategies as st
from small_tf import run

from autoq.adaptors.tensorflow.graph import Graph
from autoq.adaptors.tensorflow.passes import fold
from autoq.adaptors.tensorflow.reading import read
from autoq.adaptors.tensorflow.runtime import tf
from autoq.core.adaptor import ModelSource

SPATIAL = (5, 6, 3)


def random(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).normal(size=shape).astype(np.float32)


def folded(function, shape: tuple[int, ...]) -> tuple[Graph, float]:
    """The folded graph of a function of one input, and how far its outputs are from the function's, relative."""
    spec = tf.TensorSpec((None, *shape), tf.float32, name="x")
    frozen = read(ModelSource(tf.function(function, input_signature=[spec])))
    graph, data = fold(frozen), {"x:0": random(4, *shape, seed=9)}
    exact = run(frozen.proto, data, frozen.output_tensors)
    found = run(graph.proto, data, graph.outputs)
    return graph, max(float(np.abs(a - b).max() / np.abs(a).max()) for a, b in zip(exact, found, strict=True))


def kinds(graph: Graph) -> Counter:
    left_out = ("Const", "Placeholder", "Identity")
    return Counter(node.op for node in graph.nodes if node.op not in left_out)


def convolution(x, padding="SAME"):
    return tf.nn.conv2d(x, tf.constant(random(3, 3, 3, 4)), 1, padding)


def depthwise(x):
    return tf.nn.depthwise_conv2d(x, tf.constant(random(3, 3, 3, 2)), [1, 1, 1, 1], "SAME")


LAYERS = {
    "Conv2D": (convolution, SPATIAL, 4),
    "DepthwiseConv2dNative": (depthwise, SPATIAL, 6),
    "MatMul": (lambda x: x @ tf.constant(random(7, 5)), (7,), 5),
}


@pytest.mark.parametrize("kind", LAYERS)
def test_batch_norm_in_arithmetic_moves_into_a_layer(kind):
    layer, shape, size = LAYERS[kind]

    def model(x):
        variance, gamma = tf.constant(random(size) ** 2), tf.constant(random(size, seed=1))
        mean, beta = tf.constant(random(size, seed=2)), tf.constant(random(size, seed=3))
        return tf.nn.batch_normalization(layer(x), mean, variance, beta, gamma, 1e-3)

    graph, difference = folded(model, shape)
    assert kinds(graph) == {kind: 1, "BiasAdd": 1}
    assert difference < 1e-5


@pytest.mark.parametrize("kind", ["Conv2D", "DepthwiseConv2dNative"])
def test_batch_norm_as_one_operator_moves_into_a_layer_and_its_bias(kind):
    layer, shape, size = LAYERS[kind]

    def model(x):
        biased = tf.nn.bias_add(layer(x), tf.constant(random(size, seed=4)))
        return tf.compat.v1.nn.fused_batch_norm(
            biased,
            tf.constant(random(size)),
            tf.constant(random(size, seed=1)),
            tf.constant(random(size, seed=2)),
            tf.constant(random(size, seed=3) ** 2),
            is_training=False,
        )[0]

    graph, difference = folded(model, shape)
    assert kinds(graph) == {kind: 1, "BiasAdd": 1}
    assert difference < 1e-5


@settings(max_examples=15)
@given(steps=st.lists(st.sampled_from(["mul", "add", "sub", "from", "div", "scalar", "bias"]), min_size=2, max_size=5))
def test_any_chain_of_affine_steps_becomes_one_bias(steps):
    def model(x):
        y = convolution(x)
        for i, step in enumerate(steps):
            row = tf.constant(np.abs(random(4, seed=i)) + 0.5)
            y = {
                "mul": lambda y, row: y * row,
                "add": lambda y, row: row + y,
                "sub": lambda y, row: y - tf.reshape(row, (1, 1, 1, 4)),
                "from": lambda y, row: row - y,
                "div": lambda y, row: y / row,
                "scalar": lambda y, _: y * 0.5,
                "bias": tf.nn.bias_add,
            }[step](y, row)
        return y

    graph, difference = folded(model, SPATIAL)
    assert kinds(graph) == {"Conv2D": 1, "BiasAdd": 1}
    assert difference < 1e-4


def test_a_layer_that_something_else_reads_keeps_its_result():
    graph, difference = folded(lambda x: (convolution(x) * 2.0, convolution(x)), SPATIAL)
    assert difference < 1e-6
    y = {}

    def shared(x):
        y["conv"] = convolution(x)
        return y["conv"] * tf.constant(random(4)), tf.nn.relu(y["conv"])

    graph, difference = folded(shared, SPATIAL)
    assert kinds(graph) == {"Conv2D": 1, "Mul": 1, "Relu": 1}
    assert difference == 0


def test_a_product_that_does_not_go_along_channels_stays():
    graph, difference = folded(lambda x: convolution(x) * tf.constant(random(6, 1)), SPATIAL)
    assert kinds(graph) == {"Conv2D": 1, "Mul": 1}
    assert difference == 0


def test_a_weight_two_layers_share_is_scaled_for_one_only():
    def model(x):
        weight = tf.constant(random(3, 3, 3, 3))
        first = tf.nn.conv2d(x, weight, 1, "SAME") * tf.constant(random(3))
        return tf.nn.conv2d(first, weight, 1, "SAME")

    graph, difference = folded(model, SPATIAL)
    assert kinds(graph) == {"Conv2D": 2, "BiasAdd": 1}
    assert difference < 1e-5


def test_a_transposed_weight_is_scaled_along_its_outputs():
    graph, difference = folded(
        lambda x: tf.matmul(x, tf.constant(random(5, 7)), transpose_b=True) * tf.constant(random(5)), (7,)
    )
    assert kinds(graph) == {"MatMul": 1, "BiasAdd": 1}
    assert difference < 1e-5


def test_training_batch_norm_stays():
    def model(x):
        return tf.compat.v1.nn.fused_batch_norm(convolution(x), tf.ones(4), tf.zeros(4), is_training=True)[0]

    graph, difference = folded(model, SPATIAL)
    assert kinds(graph)["FusedBatchNormV3"] == 1
    assert difference < 1e-6


def test_a_dense_layer_on_sequences_is_a_product_between_reshapes():
    def model(x):
        return tf.nn.bias_add(tf.matmul(x, tf.constant(random(7, 5))), tf.constant(random(5)))

    graph, difference = folded(model, (6, 7))
    assert kinds(graph) == {"Reshape": 2, "MatMul": 1, "BiasAdd": 1}
    assert difference < 1e-6


def test_keras_dense_layers_on_sequences_are_products_between_reshapes():
    keras = small_tf.keras
    x = keras.Input((6, 16), name="x")
    y = keras.layers.Dense(4, activation="gelu", name="second")(keras.layers.Dense(8, name="first")(x))
    frozen = read(ModelSource(small_tf.trained(keras.Model(x, y), 0)))
    graph, data = fold(frozen), {"x:0": random(3, 6, 16)}
    found, exact = (run(p, data, graph.outputs)[0] for p in (graph.proto, frozen.proto))
    np.testing.assert_allclose(found, exact, atol=1e-6)
    assert {"Shape", "GatherV2", "Prod", "Pack", "ConcatV2", "Transpose"}.isdisjoint(kinds(graph))
    assert {"first/Tensordot/MatMul", "second/Tensordot/MatMul"} <= set(graph.by_name)


def test_the_bias_of_split_heads_stands_before_the_reshape():
    def model(x):
        heads = tf.reshape(tf.matmul(x, tf.constant(random(8, 6))), (-1, 5, 2, 3))
        return heads + tf.constant(random(2, 3))

    graph, difference = folded(model, (5, 8))
    assert kinds(graph) == {"Reshape": 2, "MatMul": 1, "BiasAdd": 1}
    assert difference < 1e-6
    product = next(node for node in graph.nodes if node.op == "MatMul")
    assert graph.only_consumer(f"{product.name}:0").op == "BiasAdd"


@pytest.mark.parametrize(
    ("equation", "weight", "bias"),
    [("abc,cde->abde", (6, 2, 3), (2, 3)), ("abc,cd->abd", (6, 4), (4,)), ("abc,bcd->ad", (5, 6, 4), (4,))],
)
def test_an_einsum_that_is_a_product_becomes_one_with_its_bias(equation, weight, bias):
    def model(x):
        return tf.raw_ops.Einsum(inputs=[x, tf.constant(random(*weight))], equation=equation) + tf.constant(
            random(*bias)
        )

    graph, difference = folded(model, (5, 6))
    assert "Einsum" not in kinds(graph)
    assert kinds(graph)["MatMul"] == kinds(graph)["BiasAdd"] == 1
    assert difference < 1e-5


@pytest.mark.parametrize("equation", ["abc,cbd->abd", "abc,cd->adb", "abc,bd->acd", "abc,dc->abd"])
def test_other_einsums_stay(equation):
    sizes = {"b": 5, "c": 6, "d": 4}
    weight = random(*(sizes[axis] for axis in equation.split(",")[1].split("->")[0]))
    graph, difference = folded(lambda x: tf.raw_ops.Einsum(inputs=[x, tf.constant(weight)], equation=equation), (5, 6))
    assert kinds(graph) == {"Einsum": 1}
    assert difference == 0


@pytest.mark.parametrize("make", ["small_cnn", "small_resnet", "small_transformer", "small_mlp"])
def test_small_models_keep_their_outputs_and_lose_what_can_be_folded(make):
    model = getattr(small_tf, make)()
    data = {"small_transformer": small_tf.sequences, "small_mlp": small_tf.features}.get(make, small_tf.pictures)()
    frozen = read(ModelSource(model))
    graph = fold(frozen)
    found = run(graph.proto, {frozen.input_tensors[0]: data}, frozen.output_tensors)[0]
    np.testing.assert_allclose(found, model(data), rtol=1e-4, atol=1e-5)
    assert len(graph.nodes) < 0.7 * len(frozen.proto.node)


def test_fed_and_fetched_tensors_keep_their_names_and_the_frozen_graph_its_nodes():
    frozen = read(ModelSource(small_tf.small_cnn(), outputs=("stem_bn/batchnorm/add_1", "project_bn/batchnorm/mul_1")))
    before = frozen.proto.SerializeToString(deterministic=True)
    graph = fold(frozen)
    data = {"image:0": small_tf.pictures()}
    for found, exact in zip(run(graph.proto, data, graph.outputs), run(frozen.proto, data, graph.outputs), strict=True):
        np.testing.assert_allclose(found, exact, atol=1e-5)
    assert frozen.proto.SerializeToString(deterministic=True) == before


def test_explicit_padding_of_a_depthwise_convolution_stands_before_it():
    """TensorFlow's fused depthwise kernel knows none; grappler fuses all the same, or ends the process."""

    def padded(x):
        attributes = {"strides": [1, 2, 2, 1], "padding": "EXPLICIT", "explicit_paddings": [0, 0, 2, 1, 0, 1, 0, 0]}
        return tf.nn.relu(
            tf.raw_ops.DepthwiseConv2dNative(input=x, filter=tf.constant(random(3, 3, 3, 1)), **attributes)
        )

    graph, error = folded(padded, SPATIAL)
    assert error < 1e-6
    assert kinds(graph) == {"Pad": 1, "DepthwiseConv2dNative": 1, "Relu": 1}


@pytest.mark.parametrize("channels", [3, 4])
def test_batch_norm_that_grappler_cannot_fuse_is_spelled_out(channels):
    def normed(x):
        rows = (random(channels, seed=s) for s in range(3))
        variance = np.linspace(0.5, 2.0, channels, dtype=np.float32)
        return tf.nn.relu(tf.compat.v1.nn.fused_batch_norm(x, *rows, variance, is_training=False)[0])

    graph, error = folded(normed, (5, 6, channels))
    assert error < 1e-6
    assert ("FusedBatchNormV3" in kinds(graph)) == (channels == 4)
