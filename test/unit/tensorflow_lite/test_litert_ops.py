"""Which ops are quantizable, and how they hang together."""

from __future__ import annotations

from autoq.adaptors.tensorflow_lite.graph import Graph, Node, Tensor
from autoq.adaptors.tensorflow_lite.model import LiteModel
from autoq.adaptors.tensorflow_lite.ops import edges, find_ops, source


def graph(*nodes: tuple[str, tuple[int, ...], int], constants: tuple[int, ...] = ()) -> Graph:
    """A graph of nodes ``(type, inputs, output)``; tensor 0 is the input."""
    last = max(output for *_, output in nodes)
    tensors = [Tensor(i, f"t{i}", "float32", (1, 4), i in constants, (), (), 0, 0) for i in range(last + 1)]
    made = [Node(i, kind, inputs, (output,), f"t{output}") for i, (kind, inputs, output) in enumerate(nodes)]
    return Graph(made, tensors, (0,), (last,))


def test_every_op_of_the_cnn_is_quantizable(cnn: LiteModel) -> None:
    assert [op.type for op in cnn.ops] == [node.type for node in cnn.graph.nodes]


def test_ops_that_do_work_have_their_weight(cnn: LiteModel) -> None:
    weighted = [op for op in cnn.ops if op.weight is not None]
    assert {op.type for op in weighted} == {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"}
    assert all(cnn.graph.tensors[op.weight or 0].constant for op in weighted)


def test_a_normalization_stays_float(transformer: LiteModel) -> None:
    normalizing = {node.name for node in transformer.graph.nodes if node.name.startswith("norm")}
    assert normalizing
    assert not normalizing & {op.id for op in transformer.ops}


def test_an_elementwise_op_counts_only_behind_quantizable_ones() -> None:
    behind = graph(("FULLY_CONNECTED", (0, 1), 2), ("TANH", (2,), 3), constants=(1,))
    alone = graph(("TANH", (0,), 1))
    assert [op.type for op in find_ops(behind)] == ["FULLY_CONNECTED", "TANH"]
    assert find_ops(alone) == ()


def test_a_fully_connected_op_needs_a_constant_weight() -> None:
    assert find_ops(graph(("FULLY_CONNECTED", (0, 0), 1))) == ()


def test_moving_ops_are_seen_through() -> None:
    moved = graph(
        ("FULLY_CONNECTED", (0, 1), 2), ("RESHAPE", (2,), 3), ("TRANSPOSE", (3,), 4), ("TANH", (4,), 5), constants=(1,)
    )
    ops = find_ops(moved)
    assert [op.type for op in ops] == ["FULLY_CONNECTED", "TANH"]
    assert list(edges(moved, ops)) == [("t2", "t5")]
    assert source(moved, 4) == moved.nodes[0]


def test_edges_pass_ops_that_stay_float() -> None:
    mixed = graph(("FULLY_CONNECTED", (0, 1), 2), ("EXP", (2,), 3), ("FULLY_CONNECTED", (3, 1), 4), constants=(1,))
    assert list(edges(mixed, find_ops(mixed))) == [("t2", "t4")]


def test_a_residual_sum_has_two_producers(cnn: LiteModel) -> None:
    (add,) = (op.id for op in cnn.ops if op.type == "ADD")
    assert sum(consumer == add for _, consumer in edges(cnn.graph, cnn.ops)) == 2
