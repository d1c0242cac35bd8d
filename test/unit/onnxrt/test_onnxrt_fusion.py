"""Which nodes make one op, which ops feed which, and which only move values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from autoq.adaptors.onnxrt.build import observable, wanted_quantized
from autoq.adaptors.onnxrt.capabilities import capability_table, support
from autoq.adaptors.onnxrt.fusion import Fusion, find_ops, passes_through
from autoq.adaptors.onnxrt.graph import free_names
from autoq.adaptors.onnxrt.prepare import indexed
from autoq.core.errors import ModelError
from autoq.core.precision import Mode, Observer

SHAPE = [1, 4, 8, 8]


def fusion_of(
    *nodes: tuple[str, Sequence[str], str, dict[str, Any]], outputs: Sequence[str] = (), **weights: Any
) -> Fusion:
    """Ops of a graph whose input is ``x`` and whose nodes are (type, inputs, name and output, attributes)."""
    made = [helper.make_node(kind, list(inputs), [name], name=name, **extra) for kind, inputs, name, extra in nodes]
    ends = list(outputs) or [nodes[-1][2]]
    graph = helper.make_graph(
        made,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, SHAPE)],
        [helper.make_tensor_value_info(o, TensorProto.FLOAT, None) for o in ends],
        [numpy_helper.from_array(np.asarray(v, np.float32), k) for k, v in weights.items()],
    )
    return find_ops(indexed(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), None))


KERNEL = np.ones((4, 4, 1, 1))


def test_a_convolution_takes_its_activation_along() -> None:
    fusion = fusion_of(("Conv", ["x", "w"], "conv", {}), ("Relu", ["conv"], "relu", {}), w=KERNEL)
    (op,) = fusion.ops
    assert (op.id, op.members, op.output, op.clip) == ("conv", (0, 1), "relu", (0.0, float("inf")))


def test_an_activation_with_another_reader_stays_apart() -> None:
    fusion = fusion_of(
        ("Conv", ["x", "w"], "conv", {}),
        ("Relu", ["conv"], "relu", {}),
        ("Add", ["conv", "relu"], "sum", {}),
        w=KERNEL,
    )
    assert [op.members for op in fusion.ops] == [(0,), (2,)]
    assert passes_through(fusion.graph, 1)


def test_an_activation_after_an_output_stays_apart() -> None:
    fusion = fusion_of(
        ("Conv", ["x", "w"], "conv", {}), ("Relu", ["conv"], "relu", {}), outputs=["conv", "relu"], w=KERNEL
    )
    assert fusion.ops[0].members == (0,)


@pytest.mark.parametrize(("low", "high", "fused"), [(0, 6, True), (-1, 1, True), (0.5, 2, False)])
def test_bounds_must_keep_zero(low: float, high: float, fused: bool) -> None:
    fusion = fusion_of(
        ("Conv", ["x", "w"], "conv", {}), ("Clip", ["conv", "low", "high"], "clip", {}), w=KERNEL, low=low, high=high
    )
    assert (fusion.ops[0].clip == (low, high)) == fused


def test_a_matrix_product_takes_its_bias_and_activation_along() -> None:
    fusion = fusion_of(
        ("MatMul", ["x", "w"], "product", {}),
        ("Add", ["b", "product"], "bias", {}),
        ("Relu", ["bias"], "relu", {}),
        w=np.ones((8, 3)),
        b=np.ones(3),
    )
    (op,) = fusion.ops
    assert (op.members, op.bias, op.output) == ((0, 1, 2), "b", "relu")


@pytest.mark.parametrize("shape", [(1,), (8, 1), (2, 1, 4, 8, 3)])
def test_an_addition_that_is_no_row_is_no_bias(shape: tuple[int, ...]) -> None:
    fusion = fusion_of(
        ("MatMul", ["x", "w"], "product", {}), ("Add", ["product", "b"], "sum", {}), w=np.ones((8, 3)), b=np.ones(shape)
    )
    assert fusion.ops[0].members == (0,)


def test_a_product_of_two_activations_is_a_cell_of_its_own() -> None:
    fusion = fusion_of(("MatMul", ["x", "x"], "square", {}))
    assert fusion.ops[0].label == "MatMul (activations)"


@pytest.mark.parametrize(
    ("kind", "attributes"),
    [("Gemm", {"transA": 1}), ("Gemm", {"alpha": -1.0}), ("ConvTranspose", {}), ("Sub", {}), ("Tanh", {})],
)
def test_what_has_no_quantized_form_is_no_op(kind: str, attributes: dict[str, Any]) -> None:
    inputs = ["x"] if kind == "Tanh" else ["x", "w"]
    assert not fusion_of((kind, inputs, "y", attributes), w=np.ones((4, 4))).ops


def test_integer_arithmetic_is_no_op() -> None:
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "x"], ["y"], name="y")],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.INT64, [2])],
        [helper.make_tensor_value_info("y", TensorProto.INT64, [2])],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    assert not find_ops(indexed(proto, None)).ops


def test_division_by_zero_is_left_alone() -> None:
    assert not fusion_of(("Div", ["x", "d"], "y", {}), d=np.array([1.0, 0.0])).ops


def test_edges_lead_through_ops_that_are_not_quantizable() -> None:
    fusion = fusion_of(
        ("Conv", ["x", "w"], "a", {}),
        ("Tanh", ["a"], "t", {}),
        ("Conv", ["t", "w"], "b", {}),
        ("Add", ["a", "b"], "c", {}),
        w=KERNEL,
    )
    assert set(fusion.edges) == {("a", "b"), ("a", "c"), ("b", "c")}


def test_a_tensor_is_wanted_through_what_only_moves_it() -> None:
    fusion = fusion_of(
        ("Conv", ["x", "w"], "a", {}),
        ("Transpose", ["a"], "t", {"perm": [0, 1, 3, 2]}),
        ("Conv", ["t", "w"], "b", {}),
        w=KERNEL,
    )
    assert wanted_quantized(fusion, {"b"}) == {"t", "a"}
    assert wanted_quantized(fusion, set()) == frozenset()


def test_statistics_are_asked_for_inputs_and_results_of_ops() -> None:
    fusion = fusion_of(
        ("Conv", ["x", "w"], "a", {}),
        ("Relu", ["a"], "r", {}),
        ("MatMul", ["r", "v"], "m", {}),
        w=KERNEL,
        v=np.ones((8, 2)),
    )
    assert observable(fusion, fusion.ops) == ("x", "r"), "the product's float result is not asked for"


def test_elementwise_ops_are_offered_where_an_operand_is_quantized() -> None:
    fusion = fusion_of(
        ("Add", ["x", "x"], "before", {}),
        ("Conv", ["before", "w"], "conv", {}),
        ("MaxPool", ["conv"], "pool", {"kernel_shape": [1, 1]}),
        ("Add", ["pool", "pool"], "after", {}),
        w=KERNEL,
    )
    table = capability_table(fusion, (Mode.STATIC,), {})
    assert {row.op.id: len(row.precisions) > 1 for row in table} == {"before": False, "conv": True, "after": True}


def test_a_table_without_a_quantizable_op_says_why() -> None:
    fusion = fusion_of(("Conv", ["x", "w"], "conv", {}), w=KERNEL)
    with pytest.raises(ModelError, match="Conv has no dynamic form"):
        capability_table(fusion, (Mode.DYNAMIC,), {})


def test_precisions_of_the_table_are_best_first_and_few() -> None:
    for label, entry in support().ops.items():
        assert 0 < len(entry.cells) <= 7, label
    conv = support().ops["Conv"].cells[0].precision
    assert (conv.label, conv.activation and conv.activation.observer) == (
        "static u8s8 per_channel minmax",
        Observer.MINMAX,
    )


def test_a_version_older_than_the_table_is_refused() -> None:
    with pytest.raises(ModelError, match="too old"):
        support("1.3.0")


def test_names_a_subgraph_reads_from_outside() -> None:
    inner = helper.make_graph(
        [helper.make_node("Add", ["outer", "own"], ["y"])], "inner", [], [helper.make_tensor_value_info("y", 1, None)]
    )
    nodes = [
        helper.make_node("Relu", ["seen"], ["own"]),
        helper.make_node("If", ["c"], ["z"], then_branch=inner, else_branch=inner),
    ]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("c", 9, [])], [helper.make_tensor_value_info("z", 1, None)]
    )
    assert free_names(graph) == {"seen", "outer"}
