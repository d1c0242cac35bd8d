"""What really runs, read from the graph ONNX Runtime optimized."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from onnx import ModelProto, NodeProto

from autoq.adaptors.onnxrt.fusion import FusedOp, Fusion
from autoq.core.plan import Plan
from autoq.core.precision import Mode

_STATIC = re.compile(r"QLinear\w+|QGemm|MatMulIntegerToFloat")
_DYNAMIC = re.compile(r"DynamicQuantize(MatMul|LSTM)|MatMulIntegerToFloat")

# ONNX Runtime marks what its layout transformations made from a node of ours.
_MARKS = re.compile(r"(_token_\d+|_nchwc|_nhwc|/quantized)+$")


class OwnerIndex:
    """Finds the op a node of an optimized graph, or of a profile, came from."""

    def __init__(self, fusion: Fusion) -> None:
        self._owner: dict[str, FusedOp] = {}
        for op in fusion.ops:
            for index in op.members:
                node = fusion.graph.nodes[index]
                self._owner |= {name: op for name in (node.name, *node.output) if name}

    def find(self, names: Iterable[str]) -> FusedOp | None:
        """The op that one of `names` (a node's name, its outputs) belongs to."""
        for name in names:
            op = self._owner.get(name) or self._owner.get(_MARKS.sub("", name))
            if op is not None:
                return op
        return None

    def of(self, node: NodeProto) -> FusedOp | None:
        """The op a node came from."""
        return self.find((node.name, *node.output))


def realized_plan(plan: Plan, fusion: Fusion, optimized: ModelProto) -> Plan:
    """`plan` without the ops for which no quantized kernel runs."""
    index = OwnerIndex(fusion)
    kernels: dict[str, set[str]] = {}
    for node in optimized.graph.node:
        owner = index.of(node)
        if owner is not None:
            kernels.setdefault(owner.id, set()).add(node.op_type)
    patterns: Mapping[Mode, re.Pattern[str]] = {Mode.STATIC: _STATIC, Mode.DYNAMIC: _DYNAMIC}
    kept = {
        op: precision
        for op, precision in plan.precisions.items()
        if any(patterns[precision.mode].fullmatch(kernel) for kernel in kernels.get(op, ()))
    }
    return Plan(kept, plan.recipes)
