"""Where ONNX Runtime does something else than what is written, and where two ops share what differs."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest

from autoq.adaptors.onnxrt.adaptor import OnnxAdaptor
from autoq.core.precision import FP32, Mode


@pytest.mark.parametrize("op", ["middle", "sum", "soft", "product"])
def test_a_float_op_between_int8_ops_runs_float(
    static_adaptor: OnnxAdaptor, new_graph: Any, bench: Any, op: str
) -> None:
    g = new_graph()
    x = g.conv(g.input("x", ["n", 4, 8, 8]), "first", (4, 4))
    x = g.node("Add", [x, g.conv(x, "middle", (4, 4))], "sum")
    x = g.conv(g.node("Softmax", [x], "soft"), "last", (4, 4))
    tested = bench(static_adaptor, g.finish(g.node("MatMul", [x, x], "product")))
    full = tested.full_plan()
    assert op in _int8_nodes(tested.apply(full))
    assert op not in _int8_nodes(tested.apply(full.with_precisions({op: FP32})))


def _int8_nodes(candidate: Any) -> set[str]:
    optimized = onnx.load(candidate._scratch / "optimized.onnx", load_external_data=False)
    kernels = [node for node in optimized.graph.node if node.op_type.startswith(("QLinear", "MatMulInteger"))]
    # Layout transformations append to a node's name.
    return {node.name.split("_")[0] for node in kernels}


def test_softmax_keeps_its_largest_values(static_adaptor: OnnxAdaptor, new_graph: Any, bench: Any) -> None:
    g = new_graph()
    x = g.conv(g.input("x", ["n", 4, 8, 8]), "first", (4, 4))
    # Nearly even: no value comes near 1, and a grid that ended at the largest one would overflow.
    x = g.node("Mul", [x, g.constant("tenth", np.float32(0.1))], "scaled")
    tested = bench(static_adaptor, g.finish(g.node("Softmax", [x], "soft")))
    assert tested.signal_to_noise(tested.full_plan()) > 15


def test_one_square_weight_in_two_layouts(qdq: OnnxAdaptor, new_graph: Any, bench: Any) -> None:
    g = new_graph()
    x, weight = g.input("x", ["n", 8]), g.weight("w", 8, 8)
    turned = g.node("Gemm", [x, weight], "turned", transB=1)
    tested = bench(qdq, g.finish(g.node("Gemm", [turned, weight], "straight")))
    assert tested.signal_to_noise(tested.full_plan(Mode.DYNAMIC)) > 25


def test_a_column_added_by_a_gemm_is_no_bias(qdq: OnnxAdaptor, new_graph: Any, bench: Any) -> None:
    g = new_graph()
    column = g.constant("column", np.arange(4, dtype=np.float32).reshape(4, 1))
    x = g.node("Gemm", [g.input("x", [4, 8]), g.weight("w", 8, 4), column], "column_gemm")
    tested = bench(qdq, g.finish(g.node("Gemm", [x, g.weight("v", 4, 4)], "plain")))
    assert [row.op.id for row in tested.table] == ["plain"]


def test_padding_beyond_the_grid_stays_float(static_adaptor: OnnxAdaptor, new_graph: Any, bench: Any) -> None:
    g = new_graph()
    x = g.node("Relu", [g.conv(g.input("x", ["n", 4, 8, 8]), "first", (4, 4))], "relu")
    pads = g.constant("pads", np.asarray([0, 0, 1, 1, 0, 0, 1, 1], np.int64))
    x = g.node("Pad", [x, pads, g.constant("fill", np.float32(-30))], "pad")
    tested = bench(static_adaptor, g.finish(g.conv(x, "last", (4, 4))))
    assert tested.signal_to_noise(tested.full_plan()) > 25


def test_a_mask_with_infinities_stays_float(qdq: OnnxAdaptor, new_graph: Any, bench: Any) -> None:
    g = new_graph()
    x = g.conv(g.input("x", ["n", 4, 8, 8]), "first", (4, 4))
    mask = g.constant("mask", np.triu(np.full((8, 8), -np.inf, np.float32), 1))
    tested = bench(qdq, g.finish(g.node("Softmax", [g.node("Add", [x, mask], "masked")], "soft")))
    assert "masked" not in [row.op.id for row in tested.table]


@pytest.mark.parametrize("kind", ["Transpose", "Flatten"])
def test_a_moved_tensor_that_a_subgraph_reads(qdq: OnnxAdaptor, new_graph: Any, bench: Any, kind: str) -> None:
    g = new_graph()
    x = g.input("x", ["n", 4, 8, 8])
    moved = g.node(kind, [g.conv(x, "first", (4, 4))], "moved")
    positive = g.node("Greater", [g.node("ReduceSum", [x], "sum", keepdims=0), g.constant("zero", np.float32(0))], "p")
    value = onnx.helper.make_tensor_value_info("out", onnx.TensorProto.FLOAT, None)
    branches = [
        onnx.helper.make_graph([onnx.helper.make_node(op, [moved], ["out"])], op, [], [value]) for op in ("Neg", "Abs")
    ]
    result = g.node("If", [positive], "if", then_branch=branches[0], else_branch=branches[1])
    tested = bench(qdq, g.finish(result))
    assert tested.signal_to_noise(tested.full_plan()) > 25
