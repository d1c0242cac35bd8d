"""What grappler leaves of a graph."""

from __future__ import annotations

import numpy as np
import small_tf
import tf_graphs
from tf_graphs import graph_of

from autoq.adaptors.tensorflow.optimize import optimized
from autoq.adaptors.tensorflow.runtime import tf


def test_a_kept_tensor_inside_of_what_is_fused_stays() -> None:
    """Grappler makes one node of a convolution, a sum and LeakyRelu, and keeps no sum that is fetched."""
    graph = graph_of(lambda x: tf.nn.leaky_relu(tf.add(x, tf_graphs.conv(x, 4), name="sum")))
    fed, fetched = {"x:0": tf_graphs.images()}, ("sum:0", "y:0")
    found = small_tf.run(optimized(graph.proto, ("x:0", *fetched)), fed, fetched)
    for got, expected in zip(found, small_tf.run(graph.proto, fed, fetched), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


def test_nothing_is_added() -> None:
    graph = graph_of(lambda x: tf.nn.relu(tf_graphs.conv(x, 4)))
    made = optimized(graph.proto, ("x:0", "y:0"))
    assert tf_graphs.types(made) == ["_FusedConv2D"]
    assert {node.name for node in made.node} <= {node.name for node in graph.proto.node}
