"""What really runs, read from the graph OpenVINO executes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import openvino as ov
from onnx import NodeProto

from autoq.adaptors.onnxrt.fusion import FusedOp, Fusion
from autoq.adaptors.onnxrt.graph import Graph
from autoq.adaptors.openvino.build import Quantized, safe_name
from autoq.core.capability import Recipe
from autoq.core.plan import Plan
from autoq.core.precision import Mode, OpPrecision

BF16 = Recipe("bf16")

_INT8 = frozenset({"i8", "u8"})

# They convert or move values for the ops around them.
_HELPERS = frozenset({"Const", "Input", "Output", "FakeQuantize", "Convert", "Reorder", "Reshape", "Transpose"})

_PRODUCTS = frozenset({"Convolution", "Deconvolution", "FullyConnected", "MatMul"})
_ARITHMETIC = frozenset({"Mul", "Div", "Add", "Sub"})

# What OpenVINO's ONNX reader appends to the product of an op that also adds a bias, and its low-precision
# transformations to an op whose result leaves the model.
PRODUCT = re.compile(r"/WithoutBiases(/.*)?$|_original$")


@dataclass(frozen=True)
class ExecutedNode:
    """One node of the graph that runs.

    Attributes:
        name: Its name, as the profiler tells it.
        kind: Its kind, e.g. ``Convolution`` or ``FullyConnected``.
        precision: What it computes in, e.g. ``f32``, ``bf16``, ``u8``, ``i8``.
        kernel: The kernel, e.g. ``brgconv_avx512_I8``.
        origins: Names of the nodes of the model it was made from, in the order they were fused.
    """

    name: str
    kind: str
    precision: str
    kernel: str
    origins: tuple[str, ...]

    @property
    def is_helper(self) -> bool:
        """Whether it only converts or moves values."""
        return self.kind in _HELPERS

    @property
    def is_int8(self) -> bool:
        """Whether it computes on 8-bit values."""
        return not self.is_helper and self.precision in _INT8


def executed(compiled: ov.CompiledModel) -> tuple[ExecutedNode, ...]:
    """Nodes of the graph that runs, in execution order, without inputs, outputs and constants."""
    return tuple(node for node in _nodes(compiled) if node.kind not in ("Const", "Input", "Output"))


class OwnerIndex:
    """Finds the ops that an executed node came from.

    Args:
        fusion: The ops to tell apart.
    """

    def __init__(self, fusion: Fusion) -> None:
        self._owner: dict[str, FusedOp] = {}
        self._anchor: dict[str, FusedOp] = {}
        self._absorbed: dict[str, FusedOp] = {}
        nodes = fusion.graph.nodes
        for op in fusion.ops:
            for index in op.members:
                self._owner |= dict.fromkeys(_names(nodes[index]), op)
            self._anchor |= dict.fromkeys(_names(nodes[op.anchor]), op)
            for index in _scalings(fusion.graph, op):
                self._absorbed |= dict.fromkeys(_names(nodes[index]), op)

    def first(self, node: ExecutedNode) -> FusedOp | None:
        """The first op that is part of an executed node."""
        found = (self._owner.get(PRODUCT.sub("", name)) for name in node.origins)
        return next((op for op in found if op is not None), None) or self._scaled(node)

    def works(self, node: ExecutedNode) -> Sequence[FusedOp]:
        """Ops whose work an executed node does."""
        found = [self._anchor.get(PRODUCT.sub("", name)) for name in node.origins]
        return [op for op in found if op is not None] or [op for op in [self._scaled(node)] if op is not None]

    def _scaled(self, node: ExecutedNode) -> FusedOp | None:
        """The product that lost its name when the factor behind it became part of its weight."""
        if node.kind not in _PRODUCTS:
            return None
        return next((self._absorbed[name] for name in node.origins if name in self._absorbed), None)


def realized_plan(plan: Plan, fusion: Fusion, quantized: Quantized | None, nodes: Sequence[ExecutedNode]) -> Plan:
    """`plan` without the ops for which no 8-bit kernel runs, and without bf16 where nothing runs in it."""
    index = OwnerIndex(Fusion(fusion.graph, [op for op in fusion.ops if op.id in plan.precisions]))
    ran = {op.id for node in nodes if node.is_int8 for op in index.works(node)}
    kept = {op: _as_built(op, precision, quantized) for op, precision in plan.precisions.items() if op in ran}
    bf16 = any(node.precision == "bf16" for node in nodes)
    return Plan(kept, tuple(r for r in plan.recipes if r != BF16 or bf16))


def _as_built(op: str, precision: OpPrecision, quantized: Quantized | None) -> OpPrecision:
    """The precision with the grid its input really has: the first op that reads a tensor decides."""
    roots = quantized.roots.get(op, ()) if quantized is not None else ()
    if quantized is None or not roots or precision.activation is None:
        return precision
    return OpPrecision(Mode.STATIC, precision.weight, quantized.grids[roots[0]].quant)


def _names(node: NodeProto) -> tuple[str, ...]:
    # A node whose result leaves the model is called after the result.
    return tuple(safe_name(name) for name in (node.name, *node.output) if name)


def _scalings(graph: Graph, op: FusedOp) -> Iterator[int]:
    """Multiplications by constants, and what else is done with constants, that directly follow an op."""
    tensor = op.output
    while tensor not in graph.outputs and len(graph.consumers.get(tensor, ())) == 1:
        index = graph.consumers[tensor][0]
        node = graph.nodes[index]
        if node.op_type not in _ARITHMETIC or not any(name in graph.initializers for name in node.input):
            return
        yield index
        tensor = node.output[0]


def _nodes(compiled: ov.CompiledModel) -> Iterator[ExecutedNode]:
    for node in compiled.get_runtime_model().get_ordered_ops():
        info: Mapping[str, Any] = node.get_rt_info()
        told = {key: _text(info, key) for key in ("layerType", "runtimePrecision", "primitiveType")}
        origins = tuple(name for name in _text(info, "originalLayersNames").split(",") if name)
        yield ExecutedNode(
            node.get_friendly_name(), told["layerType"], told["runtimePrecision"], told["primitiveType"], origins
        )


def _text(info: Mapping[str, Any], key: str) -> str:
    return str(info[key].astype(str)) if key in info else ""
