"""Attributes, ranks and broadcasts of quantized ops: each form is realized and close to fp32."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from autoq.adaptors.onnxrt.adaptor import OnnxAdaptor
from autoq.core.plan import Plan
from autoq.core.precision import Observer

Build = Callable[[Any, str], str]


def conv_nd(rank: int, **attributes: Any) -> Build:
    def build(g: Any, x: str) -> str:
        source = x if rank == 2 else g.input("signal", ["n", 4, *[8] * rank])
        weight = g.weight("w.nd", 8, 4 // attributes.get("group", 1), *[3] * rank)
        return str(g.node("Conv", [source, weight], "tested", **attributes))

    return build


def after_conv(op_type: str, *more: Any, **attributes: Any) -> Build:
    """The op on a quantized tensor and constants."""

    def build(g: Any, x: str) -> str:
        constants = [g.constant(f"c{i}", np.asarray(value, np.float32)) for i, value in enumerate(more)]
        # The activation keeps ONNX Runtime from folding a constant product or sum into the convolution.
        source = g.node("Relu", [g.conv(x, "first", (4, 4))], "relu")
        return str(g.node(op_type, [source, *constants], "tested", **attributes))

    return build


def two_convs(op_type: str, **attributes: Any) -> Build:
    def build(g: Any, x: str) -> str:
        return str(g.node(op_type, [g.conv(x, "a", (4, 4)), g.conv(x, "b", (4, 4))], "tested", **attributes))

    return build


def with_a_pooled_branch(op_type: str) -> Build:
    def build(g: Any, x: str) -> str:
        a = g.conv(x, "a", (4, 4))
        gate = g.node("Sigmoid", [g.node("GlobalAveragePool", [a], "pool")], "gate")
        return str(g.node(op_type, [a, gate], "tested"))

    return build


def gemm(bias: Any) -> Build:
    def build(g: Any, x: str) -> str:
        flat = g.node("Flatten", [g.conv(x, "first", (4, 4))], "flatten")
        more = [] if bias is None else [g.constant("bias", np.asarray(bias, np.float32))]
        return str(g.node("Gemm", [flat, g.weight("w", 256, 6), *more], "tested"))

    return build


FORMS: dict[str, Build] = {
    "conv 1d": conv_nd(1),
    "conv 2d strided": conv_nd(2, strides=[2, 2], pads=[1, 0, 1, 0]),
    "conv 2d dilated": conv_nd(2, dilations=[2, 2]),
    "conv 2d grouped": conv_nd(2, group=2),
    "conv 2d same": conv_nd(2, auto_pad="SAME_UPPER", strides=[2, 2]),
    "conv 3d": conv_nd(3),
    "add scalar": after_conv("Add", 3.0),
    "add negative channel": after_conv("Add", np.linspace(-2, -1, 4).reshape(1, 4, 1, 1)),
    "mul channel": after_conv("Mul", np.linspace(-1, 2, 4).reshape(4, 1, 1)),
    "mul vector": after_conv("Mul", [2.0]),
    "div scalar": after_conv("Div", -4.0),
    "add two": two_convs("Add"),
    "mul two": two_convs("Mul"),
    "concat": two_convs("Concat", axis=1),
    "concat last axis": two_convs("Concat", axis=-1),
    "gate": with_a_pooled_branch("Mul"),
    "sigmoid": after_conv("Sigmoid"),
    "leaky relu": after_conv("LeakyRelu", alpha=0.2),
    "softmax": after_conv("Softmax"),
    "softmax channels": after_conv("Softmax", axis=1),
    "average pool": after_conv("AveragePool", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
    "average pool with pads": after_conv(
        "AveragePool", kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[2, 2], count_include_pad=1
    ),
    "global average pool": after_conv("GlobalAveragePool"),
    "gemm without bias": gemm(None),
    "gemm with a row": gemm(np.ones((1, 6))),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_an_op(static_adaptor: OnnxAdaptor, new_graph: Any, bench: Any, form: str) -> None:
    g = new_graph()
    x = g.input("x", ["n", 4, 8, 8])
    tested = bench(static_adaptor, g.finish(FORMS[form](g, x)))
    assert len(tested.table["tested"].precisions) > 1
    for precision in tested.table["tested"].precisions[:-1]:
        for plan in (Plan({"tested": precision}), tested.full_plan().with_precisions({"tested": precision})):
            assert set(tested.apply(plan).realized) == set(plan), precision.label
            # The kl observer clips on purpose, on a few hundred values hard: that says nothing of the kernel.
            if precision.activation is None or precision.activation.observer is not Observer.KL:
                assert tested.signal_to_noise(plan) > 18, precision.label
