"""What is done to an exported graph changes its form, never its numbers."""

from __future__ import annotations

import copy

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from autoq.adaptors.pytorch import onnx_passes as passes


def model(nodes, constants, inputs, opset=21):
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(a), name) for name, a in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def run(proto, **inputs):
    settings_ = onnxruntime.SessionOptions()
    settings_.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(proto.SerializeToString(), settings_, providers=["CPUExecutionProvider"])
    return session.run(None, inputs)[0]


def types(proto):
    return [node.op_type for node in proto.graph.node]


def linear(seed=0, columns=6, rows=4, zero_point=128):
    """A float weight that is quantized in the graph, transposed, and read by a Gemm behind two equal pairs."""
    random = np.random.default_rng(seed)
    weight = random.normal(size=(rows, columns)).astype(np.float32)
    constants = {
        "w": weight,
        "ws": (np.abs(weight).max(axis=1) / 127).astype(np.float32),
        "wz": np.zeros(rows, np.int8),
        "low": np.int8(-127),
        "high": np.int8(127),
        "xs": np.float32(0.02),
        "xz": np.uint8(zero_point),
        "b": random.normal(size=rows).astype(np.float32),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "xs", "xz"], ["q1"], "q1"),
        helper.make_node("DequantizeLinear", ["q1", "xs", "xz"], ["d1"], "d1"),
        helper.make_node("QuantizeLinear", ["d1", "xs", "xz"], ["q2"], "q2"),
        helper.make_node("DequantizeLinear", ["q2", "xs", "xz"], ["d2"], "d2"),
        helper.make_node("QuantizeLinear", ["w", "ws", "wz"], ["wq"], "wq", axis=0),
        helper.make_node("Clip", ["wq", "low", "high"], ["wc"], "clip"),
        helper.make_node("DequantizeLinear", ["wc", "ws", "wz"], ["wd"], "wd", axis=0),
        helper.make_node("Transpose", ["wd"], ["wt"], "turn", perm=[1, 0]),
        helper.make_node("Gemm", ["d2", "wt", "b"], ["y"], "fc"),
    ]
    return model(nodes, constants, {"x": ["n", columns]})


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.booleans())
def test_the_numbers_stay(seed, tensorrt):
    proto = linear(seed)
    changed = copy.deepcopy(proto)
    passes.prepare(changed, tensorrt=tensorrt)
    x = np.random.default_rng(seed).normal(size=(5, 6)).astype(np.float32)
    # A bias on the grid of its products moves by half a step at most: .02 × the weight's scale.
    assert np.allclose(run(proto, x=x), run(changed, x=x), atol=1e-6 if tensorrt else 0.02 * 0.04)


def test_weights_are_folded_turned_and_stored_once():
    proto = linear()
    passes.prepare(proto, tensorrt=True)
    assert types(proto) == ["QuantizeLinear", "DequantizeLinear", "DequantizeLinear", "Gemm"]
    (weight,) = [t for t in proto.graph.initializer if list(t.dims) == [6, 4]]
    assert weight.data_type == TensorProto.INT8
    assert not [t for t in proto.graph.initializer if t.name == "w"]


def test_a_grid_around_the_middle_is_stored_signed_for_tensorrt():
    proto = linear()
    passes.prepare(proto, tensorrt=True)
    stored = {t.name: t for t in proto.graph.initializer}
    pairs = [n for n in proto.graph.node if n.op_type in ("QuantizeLinear", "DequantizeLinear")]
    assert {stored[n.input[2]].data_type for n in pairs} == {TensorProto.INT8}


def test_a_grid_with_another_zero_point_stays():
    proto = linear(zero_point=100)
    passes.sign_activations(proto)
    assert {t.data_type for t in proto.graph.initializer if t.name == "xz"} == {TensorProto.UINT8}
    assert all(not n.input[2].endswith("signed") for n in proto.graph.node if n.op_type == "QuantizeLinear")


def test_a_bias_is_quantized_for_onnx_runtime_and_float_for_tensorrt():
    ours, theirs = linear(), linear()
    passes.prepare(ours, tensorrt=False)
    passes.prepare(theirs, tensorrt=True)
    assert TensorProto.INT32 in {t.data_type for t in ours.graph.initializer}
    assert TensorProto.INT32 not in {t.data_type for t in theirs.graph.initializer}


@pytest.mark.parametrize("grid", ["scale", "zero_point"])
def test_pairs_on_other_grids_both_stay(grid):
    proto = linear()
    values = {"scale": np.float32(0.03), "zero_point": np.uint8(7)}[grid]
    proto.graph.initializer.append(numpy_helper.from_array(values, "other"))
    for name in ("q2", "d2"):
        node = next(n for n in proto.graph.node if n.name == name)
        node.input[1 if grid == "scale" else 2] = "other"
    passes.prepare(proto, tensorrt=False)
    assert types(proto).count("QuantizeLinear") == 2


def test_what_the_exporter_noted_of_source_files_is_removed():
    proto = linear()
    entry = proto.graph.node[0].metadata_props.add()
    entry.key, entry.value = "pkg.torch.onnx.stack_trace", "model.py"
    passes.strip_metadata(proto)
    assert b"model.py" not in proto.SerializeToString()
