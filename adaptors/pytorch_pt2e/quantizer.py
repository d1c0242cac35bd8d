"""A plan as annotations for torchao's prepare and convert.

Which tensors get a quantize/dequantize pair is what `X86InductorQuantizer` does, so that the compiler's patterns
match; but every op is decided on its own, static and dynamic ops may stand side by side, and modules that are called
more than once are no trouble.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import torch
from torch import fx

from autoq.adaptors.pytorch_pt2e.ops import PASSING, GraphOp, Ops
from autoq.adaptors.pytorch_pt2e.torchao import (
    MinMaxObserver,
    PerChannelMinMaxObserver,
    PlaceholderObserver,
    QuantizationAnnotation,
    QuantizationSpec,
    QuantizationSpecBase,
    SharedQuantizationSpec,
    X86InductorQuantizer,
)
from autoq.core.errors import TrialError
from autoq.core.plan import Plan
from autoq.core.precision import DType, Granularity, Mode, Observer, OpPrecision, Scheme, TensorQuant

KEY = "quantization_annotation"

FOLLOWERS = frozenset({"Concat", "AvgPool2d", "AdaptiveAvgPool2d"})
"""Op types that run in 8 bits only on what other ops leave in 8 bits, and keep its grid."""


class PlanQuantizer(X86InductorQuantizer):  # type: ignore[misc]
    """Annotates what a plan says.

    Args:
        ops: The ops of the graph.
        plan: Precision by op id.
        observer: The MinMax observer class of activations; another one may count or record.
    """

    def __init__(self, ops: Ops, plan: Plan, observer: Any = None) -> None:
        super().__init__()
        self._ops = ops
        self._plan = plan
        self._observer = observer

    def annotate(self, model: fx.GraphModule) -> fx.GraphModule:
        """Mark the graph's nodes with what `prepare_pt2e` is to observe."""
        nodes = {node.name: node for node in model.graph.nodes}
        quantized = set[fx.Node]()
        for node in model.graph.nodes:
            owner = self._ops.owner.get(node.name)
            op = self._ops.by_id[owner] if owner is not None else None
            if op is not None and op.node == node.name:
                precision = self._plan[op.id]
                if op.type in FOLLOWERS:
                    if precision.mode is Mode.STATIC and all(nodes[n] in quantized for n in op.operands):
                        self._follow(node, [nodes[n] for n in op.operands], precision)
                        quantized.add(node)
                elif not precision.is_float:
                    self._mark(op, nodes, precision)
                    if precision.mode is Mode.STATIC:
                        quantized.add(nodes[op.output])
            elif node.target in PASSING and node.args[0] in quantized and _pays(node, self._ops, self._plan):
                source = node.args[0]
                assert isinstance(source, fx.Node)
                precision = self._reader(node)
                self._follow(node, [source], precision)
                quantized.add(node)
        return model

    def validate(self, model: fx.GraphModule) -> None:
        """Nothing to add."""

    def _mark(self, op: GraphOp, nodes: Mapping[str, fx.Node], precision: OpPrecision) -> None:
        node = nodes[op.node]
        weight, activation = precision.weight, precision.activation
        offered = precision.mode is Mode.STATIC or (precision.mode is Mode.DYNAMIC and op.type == "Linear")
        if op.weight is None or op.reason or not offered or weight is None or activation is None:
            raise TrialError(f"the compiler has no {precision.mode} int8 kernel for this {op.type}", where=op.id)
        read = nodes[op.operands[0]]
        if precision.mode is Mode.DYNAMIC:
            spec: QuantizationSpecBase = dynamic_spec(activation)
        else:
            spec = self._static(activation)
        inputs: dict[fx.Node, QuantizationSpecBase | None] = {read: spec}
        held = node.args[1]
        assert isinstance(held, fx.Node)
        inputs[held] = weight_spec(weight)
        if len(node.args) > 2 and isinstance(node.args[2], fx.Node):
            inputs[node.args[2]] = None
        node.meta[KEY] = QuantizationAnnotation(input_qspec_map=inputs, _annotated=True)
        if op.added is not None and precision.mode is Mode.STATIC:
            total, other = (nodes[name] for name in op.added)
            total.meta[KEY] = QuantizationAnnotation(input_qspec_map={other: spec}, _annotated=True)

    def _follow(self, node: fx.Node, sources: list[fx.Node], precision: OpPrecision) -> None:
        assert precision.activation is not None
        first = sources[0]
        shared = SharedQuantizationSpec((first, node))
        inputs: dict[fx.Node, QuantizationSpecBase | None] = {first: self._static(precision.activation)}
        inputs |= dict.fromkeys(sources[1:], shared)
        node.meta[KEY] = QuantizationAnnotation(input_qspec_map=inputs, output_qspec=shared, _annotated=True)

    def _static(self, quant: TensorQuant) -> QuantizationSpec:
        return static_spec(quant, self._observer)

    def _reader(self, node: fx.Node) -> OpPrecision:
        return next(self._plan[op.id] for op in _readers(node, self._ops) if self._plan[op.id].mode is Mode.STATIC)


def _pays(node: fx.Node, ops: Ops, plan: Plan) -> bool:
    """Whether a static op reads what this node gives."""
    return any(plan[op.id].mode is Mode.STATIC for op in _readers(node, ops))


def _readers(node: fx.Node, ops: Ops) -> Iterator[GraphOp]:
    for user in node.users:
        owner = ops.owner.get(user.name)
        if owner is not None:
            yield ops.by_id[owner]
        elif user.target in PASSING:
            yield from _readers(user, ops)


@cache
def static_spec(quant: TensorQuant, observer: Any = None) -> QuantizationSpec:
    """How an activation with a fixed range is observed; equal precisions share one.

    The kernels read uint8 only: a symmetric grid of int8 is the same grid 128 higher.
    """
    symmetric = (quant.dtype, quant.scheme) == (DType.INT8, Scheme.SYM)
    _check(quant, symmetric)
    base: Any = RangeObserver if observer is None else observer
    arguments = {"quant": quant} if observer is None else {}
    return QuantizationSpec(
        dtype=torch.uint8,
        # Without limits of its own, a symmetric grid of uint8 has its zero at 128.
        quant_min=None if symmetric else 0,
        quant_max=None if symmetric else 255,
        qscheme=torch.per_tensor_symmetric if symmetric else torch.per_tensor_affine,
        is_dynamic=False,
        observer_or_fake_quant_ctr=base.with_args(**arguments),
    )


@cache
def dynamic_spec(quant: TensorQuant) -> QuantizationSpec:
    """How an activation whose range is found at run time is marked."""
    _check(quant)
    return QuantizationSpec(
        dtype=torch.uint8,
        quant_min=0,
        quant_max=255,
        qscheme=torch.per_tensor_affine,
        is_dynamic=True,
        observer_or_fake_quant_ctr=PlaceholderObserver,
    )


@cache
def weight_spec(quant: TensorQuant) -> QuantizationSpec:
    """How a weight is observed: the compiler's patterns know scales per output channel only."""
    if (quant.dtype, quant.scheme, quant.granularity, quant.observer) != (
        DType.INT8,
        Scheme.SYM,
        Granularity.PER_CHANNEL,
        Observer.MINMAX,
    ):
        raise TrialError(f"the compiler has no kernels for weights in {quant.label}")
    return QuantizationSpec(
        dtype=torch.int8,
        quant_min=-128,
        quant_max=127,
        qscheme=torch.per_channel_symmetric,
        ch_axis=0,
        is_dynamic=False,
        observer_or_fake_quant_ctr=PerChannelMinMaxObserver.with_args(),
    )


def _check(quant: TensorQuant, symmetric: bool = False) -> None:
    plain = (quant.dtype, quant.scheme) == (DType.UINT8, Scheme.ASYM)
    if quant.granularity is not Granularity.PER_TENSOR or not (plain or symmetric):
        raise TrialError(f"the compiler has no kernels for activations in {quant.label}")


class RangeObserver(MinMaxObserver):  # type: ignore[misc]
    """torchao's MinMax observer that knows what it was made for, so that its range can be filled in.

    Args:
        quant: The quantization asked for; its own observer chooses the range.
        arguments: Of the MinMax observer.
    """

    def __init__(self, *arguments: Any, quant: TensorQuant, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.quant = quant

    def fill(self, low: float, high: float) -> None:
        """Take in a range, as if a tensor that spans it had been seen."""
        self.min_val.copy_(torch.minimum(self.min_val, torch.tensor(low)))
        self.max_val.copy_(torch.maximum(self.max_val, torch.tensor(high)))
