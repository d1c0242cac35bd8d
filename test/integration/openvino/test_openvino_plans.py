"""What OpenVINO makes of our plans: int8 where asked, float32 elsewhere, and the right numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, numpy_helper
from small_graphs import Graph

from autoq.core.errors import ModelError, TrialError
from autoq.core.plan import FP32_PLAN, Plan
from autoq.core.precision import DType, Mode, Observer, OpPrecision, Scheme, TensorQuant


def _ends_of(proto: ModelProto, op_type: str) -> list[str]:
    return [node.input[0] for node in proto.graph.node if node.op_type == op_type]


def test_fp32_is_float32_in_every_node(cnn: Any) -> None:
    assert {node.precision for node in cnn.apply(FP32_PLAN).executed} == {"f32"}


def test_a_full_plan_runs_convolutions_in_8_bits_from_end_to_end(cnn: Any) -> None:
    kinds = [node for node in cnn.apply(cnn.full_plan()).executed if node.kind in ("Convolution", "FullyConnected")]
    assert [node.precision for node in kinds] == ["u8"] * 5


def test_a_full_plan_converts_only_what_enters(cnn: Any) -> None:
    kinds = [node.kind for node in cnn.apply(cnn.full_plan()).executed]
    assert kinds.count("FakeQuantize") == 1


def test_everything_asked_for_is_realized(cnn: Any) -> None:
    assert cnn.apply(cnn.full_plan()).realized == cnn.full_plan()


def test_every_type_of_op_is_in_the_table(cnn: Any) -> None:
    types = [row.op.type for row in cnn.table if len(row.precisions) > 1]
    assert types == ["Conv", "Conv", "Conv", "Add", "Conv", "GlobalAveragePool", "Gemm"]


def test_matrix_products_of_a_transformer_run_in_8_bits(transformer: Any) -> None:
    assert set(transformer.apply(transformer.full_plan()).realized) >= {"query", "key", "output"}


@pytest.mark.parametrize("op", ["stem", "depthwise", "project", "head", "fc"])
def test_one_op_in_int8_leaves_the_others_in_float(cnn: Any, op: str) -> None:
    candidate = cnn.apply(cnn.plan(op))
    assert set(candidate.realized) == {op}
    works = [node for node in candidate.executed if node.kind in ("Convolution", "FullyConnected")]
    assert [node.precision for node in works].count("u8") == 1


@pytest.mark.parametrize("label", ["u8s8 per_channel minmax", "s8s8 per_channel minmax", "u8s8 per_tensor", "mse"])
def test_int8_stays_close_to_fp32(cnn: Any, label: str) -> None:
    weighted = [row.op.id for row in cnn.table if row.op.type in ("Conv", "Gemm")]
    assert cnn.signal_to_noise(cnn.plan(*weighted, label=label)) > 20


def test_signed_activations_are_written_as_int8_without_zero_points(cnn: Any) -> None:
    proto = cnn.proto(cnn.plan("stem", label="s8s8 per_channel minmax"))
    (node,) = (node for node in proto.graph.node if node.op_type == "QuantizeLinear")
    zero_point = next(t for t in proto.graph.initializer if t.name == node.input[2])
    assert (zero_point.data_type, numpy_helper.to_array(zero_point)) == (TensorProto.INT8, 0)


@pytest.mark.parametrize("group", [1, 4])
@pytest.mark.parametrize("bias", [None, 0.0])
@pytest.mark.parametrize("label", ["u8s8 per_channel minmax", "s8s8 per_channel minmax"])
def test_a_convolution_without_bias_whose_result_is_read_twice(
    bench: Any, group: int, bias: float | None, label: str
) -> None:
    g = Graph()
    inputs = [g.input("x", ["n", 8, "h", "w"]), g.weight("w", 8, 8 // group, 1, 1)]
    if bias is not None:
        inputs.append(g.constant("b", np.full(8, bias, np.float32)))
    y = g.node("Conv", inputs, "conv", group=group)
    ready = bench(
        g.finish(g.node("Relu", [y], "relu"), g.node("Sigmoid", [y], "gate")),
        [{"x": np.random.default_rng(0).standard_normal((1, 8, 9, 9)).astype(np.float32) + 0.3}],
    )
    assert ready.signal_to_noise(ready.plan("conv", label=label)) > 30


@pytest.mark.parametrize("biased", [False, True])
def test_a_transposed_convolution_runs_in_8_bits(bench: Any, biased: bool) -> None:
    g = Graph()
    inputs = [g.input("x", ["n", 8, 6, 6]), g.weight("w", 8, 4, 2, 2), *([g.weight("b", 4)] if biased else [])]
    y = g.node("ConvTranspose", inputs, "up", strides=[2, 2])
    ready = bench(g.finish(g.node("Relu", [y], "relu"), g.node("Sigmoid", [y], "gate")))
    assert ready.apply(ready.full_plan()).realized == ready.full_plan()
    assert ready.signal_to_noise(ready.full_plan()) > 25


def test_a_transposed_convolution_with_groups_is_not_offered(bench: Any) -> None:
    g = Graph()
    y = g.node("ConvTranspose", [g.input("x", ["n", 8, 6, 6]), g.weight("w", 8, 2, 2, 2)], "up", group=2)
    ready = bench(g.finish(g.conv(y, "conv", (4, 4))))
    assert [op.id for op in ready.table.ops] == ["conv"]


def test_a_tensor_is_quantized_once_for_all_its_readers(bench: Any) -> None:
    g = Graph()
    x = g.input("x", ["n", 4, 8, 8])
    y = g.node("Add", [g.conv(x, "left", (4, 4)), g.conv(x, "right", (4, 4))], "sum")
    ready = bench(g.finish(y))
    assert _ends_of(ready.proto(ready.plan("left", "right")), "QuantizeLinear") == ["x"]


def test_values_are_quantized_before_nodes_that_only_move_them(bench: Any) -> None:
    g = Graph()
    y = g.node("Relu", [g.conv(g.input("x", ["n", 4, 8, 8]), "first", (4, 4))], "relu")
    y = g.node("MaxPool", [y], "pool", kernel_shape=[2, 2], strides=[2, 2])
    ready = bench(g.finish(g.conv(y, "second", (4, 4))))
    assert _ends_of(ready.proto(ready.plan("second")), "QuantizeLinear") == ["relu:0"]


def test_a_float_reader_beside_an_int8_one_reads_the_float_values(bench: Any) -> None:
    g = Graph()
    y = g.node("Relu", [g.conv(g.input("x", ["n", 4, 8, 8]), "first", (4, 4))], "relu")
    ready = bench(g.finish(g.conv(y, "int8", (4, 4)), g.conv(y, "float", (4, 4))))
    proto = ready.proto(ready.plan("int8"))
    read = {node.name: node.input[0] for node in proto.graph.node if node.op_type == "Conv"}
    assert read["float"] == "relu:0"
    assert read["int8"] != "relu:0"


def test_the_first_reader_decides_on_a_tensors_grid(bench: Any) -> None:
    g = Graph()
    x = g.input("x", ["n", 4, 8, 8])
    y = g.node("Relu", [g.node("Add", [g.conv(x, "left", (4, 4)), g.conv(x, "right", (4, 4))], "sum")], "relu")
    ready = bench(g.finish(y))
    plan = ready.plan("left", label="minmax").with_precisions(ready.plan("right", label="percentile").precisions)
    realized = ready.apply(plan).realized
    assert realized["right"] == realized["left"] == plan["left"]


def test_an_added_constant_is_not_an_op(bench: Any) -> None:
    g = Graph()
    y = g.conv(g.input("x", ["n", 4, 8, 8]), "conv", (4, 4))
    ready = bench(g.finish(g.node("Relu", [g.node("Add", [y, g.weight("c", 4, 1, 1)], "shift")], "relu")))
    assert "shift" not in ready.table


def test_names_with_commas_are_found_again(bench: Any) -> None:
    g = Graph()
    y = g.node("Relu", [g.conv(g.input("x", ["n", 4, 8, 8]), "block,1/conv", (4, 4))], "relu")
    ready = bench(g.finish(y))
    assert set(ready.apply(ready.full_plan()).realized) == {"block,1/conv"}


@pytest.mark.parametrize("op_type", ["Conv", "MatMul"])
def test_a_product_whose_weight_takes_in_a_factor_is_found_again(bench: Any, op_type: str) -> None:
    g = Graph()
    x = g.input("x", ["n", 4, 8, 8])
    y = g.conv(x, "product", (4, 4)) if op_type == "Conv" else g.node("MatMul", [x, g.weight("w", 8, 8)], "product")
    y = g.node("Mul", [y, g.constant("factor", np.float32(1.7))], "scaled")
    y = g.node("Add", [y, g.constant("offset", np.float32(0.3))], "shifted")
    ready = bench(g.finish(g.node("HardSwish", [y], "swish")))
    candidate = ready.apply(ready.plan("product"))
    assert set(candidate.realized) == {"product"}
    assert "product" in ready.adaptor.profile(candidate, ready.feeds[0]).seconds


def test_factors_of_a_gemm_survive(bench: Any) -> None:
    g = Graph()
    y = g.node(
        "Gemm",
        [g.input("x", ["n", 16]), g.weight("w", 16, 8), g.weight("b", 8)],
        "fc",
        alpha=0.5,
        beta=3.0,
    )
    ready = bench(g.finish(g.node("Relu", [y], "relu")))
    assert ready.signal_to_noise(ready.plan("fc")) > 25


def test_a_plan_for_another_model_is_a_trial_error(cnn: Any) -> None:
    with pytest.raises(TrialError, match="does not have"):
        cnn.apply(Plan({"elsewhere": next(iter(cnn.full_plan().precisions.values()))}))


def test_dynamic_ops_are_a_trial_error(cnn: Any) -> None:
    precision = cnn.full_plan()["fc"]
    with pytest.raises(TrialError, match="no dynamic form"):
        cnn.apply(Plan({"fc": OpPrecision(Mode.DYNAMIC, precision.weight, precision.activation)}))


def test_static_ops_without_calibration_are_a_trial_error(cnn: Any) -> None:
    with pytest.raises(TrialError, match="calibration"):
        cnn.adaptor.apply(cnn.model, cnn.full_plan(), None, cnn.apply(FP32_PLAN).options)


def test_both_kinds_of_activation_have_all_observers(cnn: Any) -> None:
    activations = [p.activation for p in cnn.table["stem"].precisions if p.activation is not None]
    for dtype, scheme in ((DType.UINT8, Scheme.ASYM), (DType.INT8, Scheme.SYM)):
        for observer in Observer:
            assert TensorQuant(dtype, scheme, observer=observer) in activations


def test_a_model_without_quantizable_ops_is_refused_with_what_it_has(bench: Any) -> None:
    g = Graph()
    with pytest.raises(ModelError, match=r"no op that can be quantized.*\n.*Tanh"):
        bench(g.finish(g.node("Tanh", [g.input("x", ["n", 4])], "tanh")))
