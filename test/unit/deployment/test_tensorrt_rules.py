"""TensorRT's rules: a graph that keeps all of them, and each of them broken alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import ModelProto, TensorProto, helper, numpy_helper

from autoq.adaptors.onnxrt.tensorrt_rules import RULES, checked


def kept() -> ModelProto:
    """Conv+Relu, a Conv whose result is added to the first one's, a Gemm; all between int8 pairs."""
    random = np.random.default_rng(0)
    constants = {
        "scale": np.float32(0.1),
        "zero": np.int8(0),
        "w1": random.integers(-127, 128, (4, 3, 3, 3)).astype(np.int8),
        "w2": random.integers(-127, 128, (4, 4, 3, 3)).astype(np.int8),
        "w3": random.integers(-127, 128, (10, 4)).astype(np.int8),
        "s4": np.full(4, 0.02, np.float32),
        "z4": np.zeros(4, np.int8),
        "s10": np.full(10, 0.02, np.float32),
        "z10": np.zeros(10, np.int8),
        "b1": np.zeros(4, np.float32),
        "b3": np.zeros(10, np.float32),
    }
    nodes = [
        *pair("image", "x"),
        helper.make_node("DequantizeLinear", ["w1", "s4", "z4"], ["w1f"], "w1_dq", axis=0),
        helper.make_node("Conv", ["x", "w1f", "b1"], ["c1"], "conv1", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c1"], ["r1"], "relu1"),
        *pair("r1", "y"),
        helper.make_node("DequantizeLinear", ["w2", "s4", "z4"], ["w2f"], "w2_dq", axis=0),
        helper.make_node("Conv", ["y", "w2f"], ["c2"], "conv2", pads=[1, 1, 1, 1]),
        helper.make_node("Add", ["c2", "y"], ["sum"], "add"),
        helper.make_node("Relu", ["sum"], ["r2"], "relu2"),
        *pair("r2", "z"),
        helper.make_node("GlobalAveragePool", ["z"], ["pooled"], "pool"),
        helper.make_node("Flatten", ["pooled"], ["flat"], "flatten"),
        *pair("flat", "f"),
        helper.make_node("DequantizeLinear", ["w3", "s10", "z10"], ["w3f"], "w3_dq", axis=0),
        helper.make_node("Gemm", ["f", "w3f", "b3"], ["logits"], "fc", transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "kept",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, 8, 8])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 10])],
        [numpy_helper.from_array(np.asarray(a), name) for name, a in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def pair(source, result, scale="scale", zero="zero"):
    return [
        helper.make_node("QuantizeLinear", [source, scale, zero], [f"{result}_q"], f"{result}_quantize"),
        helper.make_node("DequantizeLinear", [f"{result}_q", scale, zero], [result], f"{result}_dequantize"),
    ]


def node(model, name):
    return next(n for n in model.graph.node if n.name == name)


def constant(model, name, values):
    kept_ones = [t for t in model.graph.initializer if t.name != name]
    del model.graph.initializer[:]
    model.graph.initializer.extend([*kept_ones, numpy_helper.from_array(np.asarray(values), name)])


def without_pair(model, result):
    """Let what reads a pair's result read its source."""
    source = node(model, f"{result}_quantize").input[0]
    for name in (f"{result}_quantize", f"{result}_dequantize"):
        model.graph.node.remove(node(model, name))
    for reader in model.graph.node:
        for position, name in enumerate(reader.input):
            if name == result:
                reader.input[position] = source


def break_opset(model):
    model.opset_import[0].version = 9


def break_operators(model):
    model.graph.node.append(helper.make_node("DynamicQuantizeLinear", ["image"], ["d", "ds", "dz"], "dynamic"))


def break_zero_point(model):
    constant(model, "zero_odd", np.int8(3))
    for name in ("x_quantize", "x_dequantize"):
        node(model, name).input[2] = "zero_odd"


def break_int8(model):
    constant(model, "zero_u8", np.uint8(0))
    for name in ("x_quantize", "x_dequantize"):
        node(model, name).input[2] = "zero_u8"


def break_scale(model):
    constant(model, "scale_zero", np.float32(0))
    for name in ("x_quantize", "x_dequantize"):
        node(model, name).input[1] = "scale_zero"


def break_activation_scale(model):
    constant(model, "scales", np.full(4, 0.1, np.float32))
    constant(model, "zeros", np.zeros(4, np.int8))
    for name in ("y_quantize", "y_dequantize"):
        node(model, name).input[1:] = ["scales", "zeros"]


def break_weight_axis(model):
    node(model, "w2_dq").attribute[0].i = 1


def break_weights(model):
    model.graph.input.append(helper.make_tensor_value_info("given", TensorProto.INT8, [4, 4, 3, 3]))
    node(model, "w2_dq").input[0] = "given"


def break_inputs(model):
    without_pair(model, "f")


def break_pairs(model):
    model.graph.node.append(helper.make_node("Identity", ["x_q"], ["copy"], "copy"))


def break_residual(model):
    node(model, "add").input[1] = "r1"


def break_fusion(model):
    model.graph.node.extend(pair("c1", "c1_stored"))
    node(model, "relu1").input[0] = "c1_stored"


def break_bias(model):
    constant(model, "b3_stored", np.zeros(10, np.int8))
    model.graph.node.append(helper.make_node("DequantizeLinear", ["b3_stored", "s10", "z10"], ["b3f"], "b3_dq", axis=0))
    node(model, "fc").input[2] = "b3f"


BREAKS = {
    "opset": (break_opset, ""),
    "operators": (break_operators, "dynamic"),
    "zero_point": (break_zero_point, "x_quantize"),
    "int8": (break_int8, "x_quantize"),
    "scale": (break_scale, "x_quantize"),
    "activation_scale": (break_activation_scale, "y_quantize"),
    "weight_axis": (break_weight_axis, "w2_dq"),
    "weights": (break_weights, "conv2"),
    "inputs": (break_inputs, "fc"),
    "pairs": (break_pairs, "x_quantize"),
    "residual": (break_residual, "add"),
    "fusion": (break_fusion, "relu1"),
    "bias": (break_bias, "fc"),
}


def test_every_rule_is_broken_by_a_test():
    assert [rule.name for rule in RULES] == list(BREAKS)


def test_a_graph_that_keeps_all_rules_breaks_none():
    rules, broken = checked(kept())
    assert len(rules) == len(RULES)
    assert broken == ()


@pytest.mark.parametrize("rule", BREAKS)
def test_a_broken_rule_alone_is_told_with_its_node(rule):
    model = kept()
    change, where = BREAKS[rule]
    change(model)
    _, broken = checked(model)
    assert {b.rule for b in broken} == {rule}
    assert broken[0].node == where


@given(st.sets(st.sampled_from(sorted(set(BREAKS) - {"scale", "int8", "zero_point", "pairs"}))))
def test_rules_that_are_broken_together_are_all_told(rules):
    model = kept()
    for rule in sorted(rules):
        BREAKS[rule][0](model)
    assert {b.rule for b in checked(model)[1]} >= rules - {"weight_axis"}


def test_a_zero_point_may_be_left_out_of_a_constant_weight():
    model = kept()
    del node(model, "w1_dq").input[2]
    assert checked(model)[1] == ()


def test_weight_channels_of_a_transposed_convolution_lie_on_its_second_axis():
    model = kept()
    conv = node(model, "conv2")
    conv.op_type = "ConvTranspose"
    _, broken = checked(model)
    assert [(b.rule, b.node) for b in broken] == [("weight_axis", "w2_dq")]
    node(model, "w2_dq").attribute[0].i = 1
    assert checked(model)[1] == ()
