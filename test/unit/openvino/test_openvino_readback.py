"""How the executed graph is read: names that OpenVINO changes, what counts as 8 bits, errors without its noise."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorShapeProto
from small_graphs import Graph

from autoq.adaptors.onnxrt.model import load
from autoq.adaptors.openvino.build import observable, root
from autoq.adaptors.openvino.capabilities import offered, support
from autoq.adaptors.openvino.realized import ExecutedNode, OwnerIndex
from autoq.adaptors.openvino.runtime import reason
from autoq.adaptors.openvino.save import _axis
from autoq.core.adaptor import ModelSource
from autoq.core.errors import ModelError


def _node(*origins: str, kind: str = "Convolution", precision: str = "u8") -> ExecutedNode:
    return ExecutedNode("n", kind, precision, "kernel", origins)


@pytest.fixture
def index() -> OwnerIndex:
    g = Graph()
    y = g.node("Relu", [g.conv(g.input("x", ["n", 4, 8, 8]), "first", (4, 4))], "relu")
    y = g.node("MatMul", [y, g.weight("w", 8, 8)], "product")
    model = load(ModelSource(g.finish(g.node("Add", [y, g.weight("b", 8)], "bias"))))
    return OwnerIndex(offered(model.fusion))


@pytest.mark.parametrize(
    "origin", ["first", "first/WithoutBiases", "first/WithoutBiases/DequantizationMultiply", "first_original"]
)
def test_an_op_is_found_under_the_names_openvino_gives_its_work(index: OwnerIndex, origin: str) -> None:
    assert [op.id for op in index.works(_node(origin))] == ["first"]


def test_a_fused_activation_is_not_the_work_of_its_op(index: OwnerIndex) -> None:
    assert index.works(_node("relu")) == []
    found = index.first(_node("relu"))
    assert found is not None
    assert found.id == "first"


def test_a_fused_node_does_the_work_of_several_ops(index: OwnerIndex) -> None:
    assert [op.id for op in index.works(_node("first", "relu", "product"))] == ["first", "product"]


def test_foreign_nodes_have_no_op(index: OwnerIndex) -> None:
    assert index.first(_node("Multiply_12")) is None


@pytest.mark.parametrize(("precision", "int8"), [("u8", True), ("i8", True), ("f32", False), ("bf16", False)])
def test_what_counts_as_8_bits(precision: str, int8: bool) -> None:
    assert _node("a", precision=precision).is_int8 is int8


@pytest.mark.parametrize("kind", ["Reorder", "Convert", "FakeQuantize", "Transpose", "Reshape"])
def test_moving_8_bit_values_is_no_8_bit_work(kind: str) -> None:
    assert not _node("a", kind=kind).is_int8


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ("Exception from src/inference/src/cpp/core.cpp:88:\nno such thing\n", "no such thing"),
        ("  \nCheck failed\nbecause of this\n", "Check failed because of this"),
        ("", "RuntimeError"),
    ],
)
def test_errors_without_source_positions(told: str, said: str) -> None:
    assert reason(RuntimeError(told)) == said


@pytest.mark.parametrize(
    ("axis", "size"),
    [
        (TensorShapeProto.Dimension(dim_value=7), 7),
        (TensorShapeProto.Dimension(dim_value=-1), None),
        (TensorShapeProto.Dimension(dim_param="batch"), "batch"),
        (TensorShapeProto.Dimension(dim_param="??"), None),
        (TensorShapeProto.Dimension(), None),
    ],
)
def test_axes(axis: TensorShapeProto.Dimension, size: int | str | None) -> None:
    assert _axis(axis) == size


def test_a_tensor_is_followed_to_where_its_values_are_made() -> None:
    g = Graph()
    y = g.node("Relu", [g.conv(g.input("x", ["n", 4, 8, 8]), "first", (4, 4))], "relu")
    moved = g.node("Transpose", [g.node("MaxPool", [y], "pool", kernel_shape=[2, 2])], "turn", perm=[0, 1, 3, 2])
    fusion = load(ModelSource(g.finish(g.conv(moved, "second", (4, 4))))).fusion
    assert root(fusion, "turn:0") == "relu:0"
    assert observable(fusion, fusion.ops) == ("x", "relu:0")


def test_values_of_a_clip_on_its_own_are_quantized_behind_it() -> None:
    g = Graph()
    y = g.node("Sigmoid", [g.input("x", ["n", 4, 8, 8])], "gate")
    y = g.node("Clip", [y, g.constant("low", np.float32(0)), g.constant("high", np.float32(0.5))], "clip")
    fusion = load(ModelSource(g.finish(g.conv(y, "conv", (4, 4))))).fusion
    assert root(fusion, "clip:0") == "clip:0"


def test_a_version_that_was_never_measured_is_refused() -> None:
    with pytest.raises(ModelError, match=r"openvino 2023\.1 is too old"):
        support("2023.1")
