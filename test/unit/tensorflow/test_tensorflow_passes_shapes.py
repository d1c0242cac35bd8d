"""What goes because it changes nothing, or is known before the model runs."""

from __future__ import annotations

import numpy as np
import pytest
from small_tf import run

from autoq.adaptors.tensorflow.graph import Graph
from autoq.adaptors.tensorflow.passes.clean import clean
from autoq.adaptors.tensorflow.passes.constants import fold_constants
from autoq.adaptors.tensorflow.passes.rewrite import pruned
from autoq.adaptors.tensorflow.passes.shapes import fold_shapes, merge_reshapes
from autoq.adaptors.tensorflow.runtime import tf

v1 = tf.compat.v1


def graph_of(build, shape=(None, 4, 6)) -> Graph:
    """A graph as TensorFlow records it, of one input ``x`` and one output."""
    with tf.Graph().as_default() as target:
        output = build(v1.placeholder(tf.float32, shape, name="x"))
        name = tf.identity(output, name="output").name
    return Graph(target.as_graph_def(), ("x:0",), (name,))


def kinds(graph: Graph) -> list[str]:
    return sorted(node.op for node in graph.nodes if node.op not in ("Const", "Placeholder"))


def same(before: Graph, after: Graph, batch: int = 3) -> bool:
    data = {"x:0": np.random.default_rng(0).normal(size=(batch, 4, 6)).astype(np.float32)}
    return np.array_equal(run(before.proto, data, before.outputs)[0], run(after.proto, data, after.outputs)[0])


@pytest.mark.parametrize("through", [tf.identity, tf.stop_gradient, lambda x: tf.identity_n([x, x * 2])[0]])
def test_identities_go(through):
    before = graph_of(lambda x: through(tf.nn.relu(through(x))))
    after = clean(before)
    assert kinds(after) == ["Identity", "Relu"]
    assert same(before, after)


def test_a_fetched_identity_keeps_its_name():
    after = clean(graph_of(tf.nn.relu))
    assert after.outputs == ("output:0",)
    assert after.by_name["output"].op == "Identity"


def test_checks_and_control_inputs_go():
    def build(x):
        with tf.control_dependencies([v1.assert_greater(x, -100.0), v1.no_op()]):
            return tf.nn.relu(x)

    before = graph_of(build)
    after = clean(before)
    assert kinds(after) == ["Identity", "Relu"]
    assert same(before, after)


def test_a_default_that_is_not_fed_is_its_value():
    before = graph_of(lambda x: x * v1.placeholder_with_default(tf.constant(2.0), ()))
    after = fold_constants(clean(before))
    assert kinds(after) == ["Identity", "Mul"]
    assert same(before, after)


def test_what_no_output_needs_goes():
    def build(x):
        tf.nn.softmax(x)
        return tf.nn.relu(x)

    assert kinds(pruned(graph_of(build))) == ["Identity", "Relu"]


def test_what_no_input_takes_part_in_is_computed():
    before = graph_of(lambda x: x * tf.math.rsqrt(tf.constant([1.0, 4.0, 9.0, 1.0, 4.0, 9.0]) + 1.0))
    after = fold_constants(before)
    assert kinds(after) == ["Identity", "Mul"]
    assert same(before, after)


def test_random_numbers_are_drawn_at_every_run():
    assert "RandomStandardNormal" in kinds(fold_constants(graph_of(lambda x: x + tf.random.normal((6,)))))


def test_a_large_tensor_made_of_a_small_one_is_made_at_run_time():
    before = graph_of(lambda x: x * tf.reduce_sum(tf.fill((1000, 1000), tf.constant(1.0))))
    assert "Fill" not in kinds(fold_constants(before))  # its sum is small
    before = graph_of(lambda x: tf.reduce_sum(x) + tf.fill((1000, 1000), tf.constant(1.0)))
    assert "Fill" in kinds(fold_constants(before))


@pytest.mark.parametrize(
    "build",
    [
        lambda x: tf.reshape(x, (tf.shape(x)[0], 24)),
        lambda x: tf.reshape(x, (-1, tf.shape(x)[2])),
        lambda x: tf.reshape(x, tf.concat([tf.shape(x)[:1], [6, 4]], 0)),
        lambda x: tf.reshape(x, (tf.shape(x)[0] * 4, 6)),
        lambda x: tf.reshape(x, (tf.reduce_prod(tf.gather(tf.shape(x), [0, 1])), 6)),
    ],
)
def test_shapes_with_one_unknown_size_are_constant(build):
    before = graph_of(build)
    after = fold_shapes(fold_constants(clean(before)))
    assert kinds(after) == ["Identity", "Reshape"]
    assert same(before, after)
    assert same(before, after, batch=1)


def test_a_shape_with_two_unknown_sizes_stays():
    after = fold_shapes(graph_of(lambda x: tf.reshape(x, (tf.shape(x)[0], tf.shape(x)[1], 2, 3)), (None, None, 6)))
    assert "Pack" in kinds(after)


def test_a_shape_with_an_unknown_size_and_one_left_open_stays():
    before = graph_of(lambda x: tf.reshape(x, (tf.shape(x)[0], -1)))
    after = fold_shapes(fold_constants(before))
    assert "Pack" in kinds(after)
    assert same(before, after)


def test_a_size_seen_through_element_wise_steps():
    def build(x):
        flat = tf.reshape(x, tf.concat([tf.gather(tf.shape(x), [0]), [24]], 0))
        wide = 0.5 * flat + tf.constant(np.ones(24, np.float32))
        return tf.reshape(wide, tf.stack([tf.reduce_prod(tf.gather(tf.shape(wide), [0])), 4, 6]))

    before = graph_of(build)
    after = fold_shapes(fold_constants(clean(before)))
    assert kinds(after) == ["AddV2", "Identity", "Mul", "Reshape", "Reshape"]
    assert same(before, after)


@pytest.mark.parametrize(
    ("build", "left"),
    [
        (lambda x: tf.nn.relu(tf.reshape(tf.reshape(x, (-1, 6)), (-1, 4, 6))), []),
        (lambda x: tf.nn.relu(tf.reshape(tf.reshape(x, (-1, 6)), (-1, 24))), ["Reshape"]),
        (lambda x: tf.nn.relu(tf.transpose(x, (0, 1, 2))), []),
        (lambda x: tf.nn.relu(tf.transpose(x, (0, 2, 1))), ["Transpose"]),
    ],
)
def test_reshapes_and_transposes_that_change_nothing_go(build, left):
    before = graph_of(build)
    after = merge_reshapes(before)
    assert kinds(after) == sorted(["Identity", "Relu", *left])
    assert same(before, after)


def test_a_pass_that_finds_nothing_gives_the_same_graph():
    graph = graph_of(tf.nn.relu)
    for change in (fold_constants, fold_shapes, merge_reshapes, pruned):
        assert change(graph) is graph
