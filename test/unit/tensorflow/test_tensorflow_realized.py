"""What is realized is read from the graph that runs."""

from __future__ import annotations

from dataclasses import replace

import pytest
import small_tf
from tf_plans import prepared

from autoq.adaptors.tensorflow.realized import ExecutedNode, OwnerIndex, realized_plan
from autoq.core.plan import Plan


@pytest.mark.parametrize("make", [small_tf.small_cnn, small_tf.small_resnet])
def test_a_network_runs_in_8_bits_from_end_to_end(make) -> None:
    """Residual sums, pools and the last product included: no float kernel is left that does an op's work."""
    given = prepared(make)
    candidate = given.candidate(given.full)
    assert candidate.realized == given.full
    assert set(given.full) == {row.op.id for row in given.table}
    index = OwnerIndex(given.model.fusion)
    left = [
        node for node in candidate.executed if not node.is_int8 and node.type.endswith(("Conv2D", "MatMul", "Pool"))
    ]
    assert not left, [index.find(node.name) for node in left]
    assert not [node for node in candidate.executed if node.type in ("AddV2", "Mean")]


def test_ops_that_stay_float_are_not_realized() -> None:
    given = prepared(small_tf.small_resnet)
    half = Plan(dict(list(given.full.precisions.items())[::2]))
    assert given.candidate(half).realized == half


def test_an_op_without_a_kernel_is_left_out() -> None:
    given = prepared(small_tf.small_mlp)
    first, *others = given.full
    nodes = [ExecutedNode(f"{first}/quantized", "_QuantizedMatMul"), *(ExecutedNode(op, "MatMul") for op in others)]
    assert list(realized_plan(given.full, given.model.fusion, nodes)) == [first]


def test_a_convolution_whose_kernel_leaves_the_residual_sum_out_is_not_realized() -> None:
    given = prepared(small_tf.small_resnet)
    candidate = given.candidate(given.full)
    summing = {op.id for op in given.model.fusion.ops if op.summand is not None}
    assert summing
    without = [replace(node, fused=tuple(part for part in node.fused if part != "Sum")) for node in candidate.executed]
    realized = realized_plan(given.full, given.model.fusion, without)
    assert set(given.full) - set(realized) == summing


@pytest.mark.parametrize(
    ("kind", "kernel"),
    [
        ("_FusedQuantizedConv2D", True),
        ("_QuantizedMatMul", True),
        ("_MklQuantizedMaxPool", True),
        ("QuantizedAvgPool", True),
        ("QuantizeV2", False),
        ("_MklQuantizeV2", False),
        ("Dequantize", False),
        ("_MklNativeFusedConv2D", False),
    ],
)
def test_kernels_are_told_from_conversions(kind: str, kernel: bool) -> None:
    assert ExecutedNode("node", kind).is_int8 is kernel
