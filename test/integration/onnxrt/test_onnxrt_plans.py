"""Plans become models: which kernels run, where the conversions stand, and what comes out."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import ModelProto
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from autoq.adaptors.onnxrt.adaptor import OnnxAdaptor
from autoq.adaptors.onnxrt.capabilities import support
from autoq.core.errors import TrialError
from autoq.core.plan import Plan
from autoq.core.precision import DType, Granularity, Mode, OpPrecision, TensorQuant

DYNAMIC = OpPrecision(Mode.DYNAMIC, TensorQuant(DType.INT8, granularity=Granularity.PER_CHANNEL))
CONVERSIONS = ("QuantizeLinear", "DequantizeLinear")


def kinds(model: ModelProto) -> Counter[str]:
    return Counter(node.op_type for node in model.graph.node)


def optimized(tested: Any, plan: Plan, tmp_path: Path) -> Counter[str]:
    from autoq.adaptors.onnxrt.session import SessionSettings, make_session

    target = tmp_path / "optimized.onnx"
    make_session(tested.apply(plan).source.model, SessionSettings(threads=1, optimized=target))
    return kinds(onnx.load(target))


def static(tested: Any, *ops: str) -> Plan:
    return Plan({op: next(p for p in tested.table[op].precisions if p.mode is Mode.STATIC) for op in ops})


def test_the_all_int8_plan_runs_only_quantized_kernels(
    static_adaptor: OnnxAdaptor, cnn: Any, bench: Any, tmp_path: Path
) -> None:
    tested = bench(static_adaptor, cnn)
    ran = optimized(tested, tested.full_plan(), tmp_path)
    assert ran["QLinearConv"] == 4
    assert ran["QLinearAdd"] == 1
    assert ran["QLinearGlobalAveragePool"] == 1
    assert ran["QGemm"] == 1
    assert ran["QuantizeLinear"] == 1, "only the image is converted"
    assert not {"Conv", "Gemm", "Add", "Clip", "Relu", "DequantizeLinear"} & set(ran)


def test_both_formats_give_the_same_numbers(cnn: Any, bench: Any) -> None:
    from autoq.adaptors.onnxrt import adaptor as adaptors

    first, second = bench(adaptors.qdq(), cnn), bench(adaptors.qlinearops(), cnn)
    np.testing.assert_array_equal(first.outputs(first.full_plan()), second.outputs(second.full_plan()))


@pytest.mark.parametrize("granularity", list(Granularity)[:2])
def test_outputs_agree_with_the_library(
    qdq: OnnxAdaptor, cnn: Any, bench: Any, tmp_path: Path, granularity: Granularity
) -> None:
    tested = bench(qdq, cnn)
    plan = Plan(
        {
            row.op.id: next(p for p in row.precisions if p.weight is None or p.weight.granularity is granularity)
            for row in tested.table
        }
    )
    source, target = tmp_path / "fp32.onnx", tmp_path / "int8.onnx"
    onnx.save(cnn, source)

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._feeds = iter(tested.feeds)

        def get_next(self) -> Any:
            return next(self._feeds, None)

    quantize_static(
        source,
        target,
        Reader(),
        quant_format=QuantFormat.QDQ,
        per_channel=granularity is Granularity.PER_CHANNEL,
        weight_type=QuantType.QInt8,
        activation_type=QuantType.QUInt8,
    )
    candidate = tested.apply(plan)
    theirs = qdq.load_artifact(target, candidate.options)
    for feed in tested.feeds:
        (ours,), (library,) = candidate.predict(feed).values(), theirs.predict(feed).values()
        # The library also quantizes the logits, which ours leave in float: one step of that grid apart, at most.
        step = float(np.ptp(library)) / 100
        np.testing.assert_allclose(ours, library, atol=2 * step)


def test_a_float_op_between_int8_ops_reads_and_writes_float(qdq: OnnxAdaptor, cnn: Any, bench: Any) -> None:
    tested = bench(qdq, cnn)
    plan = tested.full_plan().with_precisions({"project": tested.table["project"].precisions[-1]})
    model = tested.proto(plan)
    project = next(n for n in model.graph.node if n.name == "project")
    assert list(project.input)[1:] == ["project.w", "project.b"]
    assert tested.apply(plan).realized == plan


def test_ops_that_only_move_values_stay_int8(static_adaptor: OnnxAdaptor, new_graph: Any, bench: Any) -> None:
    g = new_graph()
    x = g.conv(g.input("x", ["n", 4, 8, 8]), "first", (4, 4))
    x = g.node("MaxPool", [x], "pool", kernel_shape=[2, 2], strides=[1, 1])
    x = g.node("Transpose", [x], "turn", perm=[0, 1, 3, 2])
    sizes = g.constant("sizes", np.array([1, 1, 2, 2], np.float32))
    x = g.node("Resize", [x, "", sizes], "resize", mode="nearest")
    pads = g.constant("pads", np.array([0, 0, 1, 1, 0, 0, 1, 1]))
    x = g.node("Pad", [x, pads, g.constant("fill", np.float32(0.5))], "pad")
    x = g.node(
        "Slice",
        [x, g.constant("a", np.array([1])), g.constant("b", np.array([9])), g.constant("c", np.array([2]))],
        "cut",
    )
    x = g.node("Split", [x], "split", outputs=2, axis=1)
    other = "split:1"
    shape = g.constant("shape", np.array([0, 4, -1, 4]))
    x = g.node("Reshape", [g.node("Concat", [x, g.node("Relu", [other], "relu")], "join", axis=1), shape], "reshape")
    proto = g.finish(g.conv(x, "last", (4, 4)))
    tested = bench(static_adaptor, proto)
    plan = tested.full_plan()
    assert set(plan) == {"first", "join", "last"}
    conversions = [n.name for n in tested.proto(plan).graph.node if n.op_type == "QuantizeLinear"]
    assert [n for n in conversions if not n.endswith("quantize_result")] == ["x/quantize"]
    assert tested.apply(plan).realized == plan
    assert tested.signal_to_noise(plan) > 25


def test_an_activation_bound_is_kept_where_it_cannot_be_merged(qdq: OnnxAdaptor, new_graph: Any, bench: Any) -> None:
    g = new_graph()
    x = g.conv(g.input("x", ["n", 4, 8, 8]), "first", (4, 4))
    bounds = [g.constant("low", np.float32(-0.2)), g.constant("high", np.float32(0.3))]
    clipped = g.node("Clip", [x, *bounds], "clip")
    y = g.node("Add", [g.conv(x, "left", (4, 4)), g.conv(clipped, "right", (4, 4))], "sum")
    tested = bench(qdq, g.finish(y))
    assert tested.signal_to_noise(tested.full_plan()) > 25
    assert "Clip" in kinds(tested.proto(tested.full_plan()))


def test_a_bound_that_excludes_zero_stays_float(qdq: OnnxAdaptor, new_graph: Any, bench: Any) -> None:
    g = new_graph()
    x = g.conv(g.input("x", ["n", 4, 8, 8]), "first", (4, 4))
    x = g.node("Clip", [x, g.constant("low", np.float32(0.1)), g.constant("high", np.float32(0.5))], "clip")
    tested = bench(qdq, g.finish(g.conv(x, "last", (4, 4))))
    assert tested.signal_to_noise(tested.full_plan()) > 25


def test_a_tensor_that_is_an_output_too_is_given_in_float(
    static_adaptor: OnnxAdaptor, new_graph: Any, bench: Any
) -> None:
    g = new_graph()
    x = g.conv(g.input("x", ["n", 4, 8, 8]), "first", (4, 4))
    y = g.node("Relu", [x], "relu")
    tested = bench(static_adaptor, g.finish(x, g.conv(y, "last", (4, 4))))
    outputs = tested.apply(tested.full_plan()).predict(tested.feeds[0])
    assert [o.dtype for o in outputs.values()] == [np.float32, np.float32]
    assert tested.signal_to_noise(tested.full_plan()) > 25


def test_matrix_products_leave_float_results_with_their_bias(
    static_adaptor: OnnxAdaptor, transformer: Any, bench: Any
) -> None:
    tested = bench(static_adaptor, transformer)
    plan = static(tested, "query", "key", "output")
    model = tested.proto(plan)
    assert kinds(model)["MatMulIntegerToFloat"] == 3
    assert kinds(model)["DequantizeLinear"] == 0
    assert not any(node.name.endswith("/bias") for node in model.graph.node)
    assert tested.signal_to_noise(plan) > 25


def test_dynamic_ops_on_one_tensor_share_its_quantization(qdq: OnnxAdaptor, transformer: Any, bench: Any) -> None:
    tested = bench(qdq, transformer)
    plan = Plan({"query": DYNAMIC, "key": DYNAMIC, "output": DYNAMIC})
    assert kinds(tested.proto(plan))["DynamicQuantizeLinear"] == 2
    assert tested.apply(plan).realized == plan
    assert tested.signal_to_noise(plan) > 30


@pytest.mark.parametrize("dynamic_first", [True, False])
def test_static_and_dynamic_ops_live_in_one_model(
    static_adaptor: OnnxAdaptor, transformer: Any, bench: Any, dynamic_first: bool
) -> None:
    tested = bench(static_adaptor, transformer)
    fixed, found = ("output", "query") if dynamic_first else ("query", "output")
    plan = Plan({found: DYNAMIC, **static(tested, fixed).precisions})
    assert tested.apply(plan).realized == plan
    assert tested.signal_to_noise(plan) > 25


def test_a_product_of_two_activations_runs_quantized(static_adaptor: OnnxAdaptor, transformer: Any, bench: Any) -> None:
    tested = bench(static_adaptor, transformer)
    plan = static(tested, "scores", "context")
    assert tested.apply(plan).realized == plan
    assert tested.signal_to_noise(plan) > 25


@pytest.mark.parametrize("transposed", [0, 1])
@pytest.mark.parametrize("mode", [Mode.STATIC, Mode.DYNAMIC])
def test_gemm_keeps_its_factors_and_layout(
    static_adaptor: OnnxAdaptor, new_graph: Any, bench: Any, transposed: int, mode: Mode
) -> None:
    g = new_graph()
    weight = g.weight("w", *((8, 16) if transposed else (16, 8)))
    y = g.node(
        "Gemm", [g.input("x", ["n", 16]), weight, g.weight("b", 8)], "fc", transB=transposed, alpha=0.5, beta=3.0
    )
    tested = bench(static_adaptor, g.finish(y))
    for precision in tested.table["fc"].precisions:
        if precision.mode is mode:
            plan = Plan({"fc": precision})
            assert tested.apply(plan).realized == plan
            assert tested.signal_to_noise(plan) > 30


def test_lstm_runs_dynamic(qdq: OnnxAdaptor, new_graph: Any, bench: Any) -> None:
    g = new_graph()
    x = g.input("x", [5, "n", 8])
    y = g.node(
        "LSTM",
        [x, g.weight("w", 2, 64, 8), g.weight("r", 2, 64, 16)],
        "lstm",
        3,
        hidden_size=16,
        direction="bidirectional",
    )
    tested = bench(qdq, g.finish(y))
    for precision in tested.table["lstm"].precisions[:-1]:
        plan = Plan({"lstm": precision})
        assert tested.apply(plan).realized == plan
        assert tested.signal_to_noise(plan) > 25


def test_division_by_a_constant_is_a_product(static_adaptor: OnnxAdaptor, new_graph: Any, bench: Any) -> None:
    g = new_graph()
    x = g.conv(g.input("x", ["n", 4, 8, 8]), "first", (4, 4))
    divisor = g.constant("d", np.array([1.0, 2.0, 4.0, 8.0], np.float32).reshape(1, 4, 1, 1))
    scaled = g.node("Div", [g.node("Mul", [x, g.constant("m", np.float32(3))], "mul"), divisor], "div")
    tested = bench(static_adaptor, g.finish(g.conv(scaled, "last", (4, 4))))
    plan = tested.full_plan()
    assert "div" in plan
    assert tested.apply(plan).realized == plan
    assert tested.signal_to_noise(plan) > 25


def test_a_bias_beyond_int32_widens_the_scale_of_its_channel(
    static_adaptor: OnnxAdaptor, new_graph: Any, bench: Any
) -> None:
    g = new_graph()
    weights = np.random.default_rng(0).standard_normal((4, 4, 3, 3)).astype(np.float32)
    weights[1] *= 1e-12
    x = g.input("x", ["n", 4, 8, 8])
    bias = g.constant("b", np.array([1, 50, -1, 2], np.float32))
    tested = bench(static_adaptor, g.finish(g.node("Conv", [x, g.constant("w", weights), bias], "conv")))
    assert tested.signal_to_noise(tested.full_plan()) > 30


def test_weights_shared_by_two_ops_are_stored_once(qdq: OnnxAdaptor, new_graph: Any, bench: Any) -> None:
    g = new_graph()
    weight = g.weight("w", 16, 16)
    x = g.node("Relu", [g.node("MatMul", [g.input("x", ["n", 16]), weight], "first")], "relu")
    tested = bench(qdq, g.finish(g.node("MatMul", [x, weight], "second")))
    model = tested.proto(static(tested, "first", "second"))
    assert sum(t.data_type == onnx.TensorProto.INT8 and len(t.dims) == 2 for t in model.graph.initializer) == 1


def test_float_weights_of_quantized_ops_are_gone(qdq: OnnxAdaptor, cnn: Any, bench: Any) -> None:
    tested = bench(qdq, cnn)
    names = {t.name for t in tested.proto(tested.full_plan()).graph.initializer}
    assert not names & {"stem.w", "depthwise.w", "project.w", "head.w", "fc.w"}


def test_names_of_the_model_are_not_taken(static_adaptor: OnnxAdaptor, cnn: Any, bench: Any) -> None:
    expected = bench(static_adaptor, cnn)
    names = {
        "stem.w": "stem/weight",
        "stem.b": "stem/bias",
        "depthwise.w": "image/scale",
        "depthwise.b": "stem/weight/scale",
        "fc.w": "fc/bias",
        "fc.b": "stem/weight/rows_per_channel",
        "relu:0": "image/quantized",
    }
    for tensor in cnn.graph.initializer:
        tensor.name = names.get(tensor.name, tensor.name)
    for node in cnn.graph.node:
        for tensors in (node.input, node.output):
            for i, name in enumerate(tensors):
                tensors[i] = names.get(name, name)
    tested = bench(static_adaptor, cnn)
    for plan in (tested.full_plan(), static(tested, "stem", "fc"), static(tested, "depthwise")):
        np.testing.assert_array_equal(tested.outputs(plan), expected.outputs(plan))


def test_metadata_of_the_model_are_kept(qdq: OnnxAdaptor, cnn: Any, bench: Any) -> None:
    cnn.metadata_props.add(key="classes", value="cat dog")
    tested = bench(qdq, cnn)
    session = tested.apply(tested.full_plan()).native
    assert session.get_modelmeta().custom_metadata_map == {"classes": "cat dog"}


def test_elementwise_ops_between_float_ops_are_not_offered(qdq: OnnxAdaptor, transformer: Any, bench: Any) -> None:
    row = bench(qdq, transformer).table["residual"]
    assert len(row.precisions) == 1
    assert "float" in row.note


def test_every_cell_of_the_table_runs_quantized_here(qdq: OnnxAdaptor) -> None:
    cells = qdq.probe()
    offered = sum(len(entry.cells) for entry in support().ops.values())
    assert len(cells) == offered
    assert [c for c in cells if not c.quantized] == []


def test_what_was_probed_stands_in_the_table(qdq: OnnxAdaptor, cnn: Any, bench: Any) -> None:
    assert "capability.yaml" in bench(qdq, cnn).table["stem"].origin
    measured = {(c.type, c.precision): c.cost for c in qdq.probe()}
    row = bench(qdq, cnn).table["stem"]
    assert row.origin == "probed on this machine"
    assert row.costs[0] == measured["Conv", row.precisions[0].label]


def test_a_cell_that_does_not_run_here_is_not_offered(qdq: OnnxAdaptor, cnn: Any, bench: Any) -> None:
    qdq.probe()
    text = qdq.probe_cache.read_text(encoding="utf-8")
    qdq.probe_cache.write_text(text.replace('"quantized": true', '"quantized": false', 2), encoding="utf-8")
    row = bench(qdq, cnn).table["stem"]
    assert len(row.precisions) == 5
    assert "does not run quantized" in row.note


def test_a_damaged_probe_is_as_good_as_none(qdq: OnnxAdaptor, cnn: Any, bench: Any) -> None:
    qdq.probe()
    qdq.probe_cache.write_text('[{"type": 3}', encoding="utf-8")
    assert qdq.probed() == ()
    assert "capability.yaml" in bench(qdq, cnn).table["stem"].origin


def test_an_unknown_op_is_a_failed_trial(qdq: OnnxAdaptor, cnn: Any, bench: Any) -> None:
    with pytest.raises(TrialError, match="nobody: the plan names an op"):
        bench(qdq, cnn).apply(Plan({"nobody": DYNAMIC}))


def test_a_static_plan_without_statistics_is_a_failed_trial(qdq: OnnxAdaptor, cnn: Any, bench: Any) -> None:
    tested = bench(qdq, cnn)
    with pytest.raises(TrialError, match="needs calibration data"):
        qdq.apply(tested.model, tested.full_plan(), None, tested.apply(Plan()).options)


def test_weights_that_are_not_finite_are_a_failed_trial(qdq: OnnxAdaptor, new_graph: Any, bench: Any) -> None:
    g = new_graph()
    weight = g.constant("w", np.full((4, 4), np.nan, np.float32))
    tested = bench(qdq, g.finish(g.node("MatMul", [g.input("x", ["n", 4]), weight], "product")))
    with pytest.raises(TrialError, match="NaN"):
        tested.apply(Plan({"product": DYNAMIC}))


def test_a_dynamic_convolution_is_refused(qdq: OnnxAdaptor, cnn: Any, bench: Any) -> None:
    with pytest.raises(TrialError, match="no dynamic form of Conv"):
        bench(qdq, cnn).apply(Plan({"stem": DYNAMIC}))


def test_integerops_offers_only_dynamic(cnn: Any, bench: Any) -> None:
    from autoq.adaptors.onnxrt import adaptor as adaptors

    tested = bench(adaptors.integerops(), cnn)
    assert {p.mode for row in tested.table for p in row.precisions} == {Mode.DYNAMIC, Mode.FP32}
    assert tested.adaptor.needs(tested.model, tested.table).tensors == ()
    assert tested.apply(tested.full_plan()).realized == tested.full_plan()


_BENCHES: dict[str, Any] = {}


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_plan_is_realized_and_close_to_fp32(
    data: st.DataObject, static_adaptor: OnnxAdaptor, cnn: Any, transformer: Any, bench: Any
) -> None:
    name = data.draw(st.sampled_from(["cnn", "transformer"]))
    key = f"{static_adaptor.framework} {name}"
    if key not in _BENCHES:
        _BENCHES[key] = bench(static_adaptor, cnn if name == "cnn" else transformer)
    tested = _BENCHES[key]
    plan = Plan({row.op.id: data.draw(st.sampled_from(row.precisions)) for row in tested.table})
    assert tested.apply(plan).realized == plan
    assert tested.signal_to_noise(plan) > 15
