"""What a converted graph, and a compiled one, really run in 8 bits; and with which scales."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import fx

from autoq.adaptors.pytorch_pt2e.graph import tensor_of
from autoq.adaptors.pytorch_pt2e.ops import GraphOp, Ops
from autoq.adaptors.pytorch_pt2e.quantizer import FOLLOWERS
from autoq.core.plan import Plan
from autoq.core.precision import DType, Mode

_decomposed = torch.ops.quantized_decomposed
_QUANTIZE = _decomposed.quantize_per_tensor.default
_STATIC = _decomposed.dequantize_per_tensor.default
_DYNAMIC = _decomposed.dequantize_per_tensor.tensor
_WEIGHT = _decomposed.dequantize_per_channel.default

# A symmetric int8 grid is carried 128 higher.
_OFFSET = 128

_SCALE = re.compile(r"(?:^|_)(_scale_\d+)$")
_KERNEL = re.compile(r"q(conv|linear)")


def realized_plan(plan: Plan, ops: Ops, converted: fx.GraphModule) -> Plan:
    """`plan` without the ops that do not read, or weigh, in 8 bits."""
    nodes = {node.name: node for node in converted.graph.nodes}
    kept = {
        op: precision
        for op, precision in plan.precisions.items()
        if op in ops.by_id and _mode(ops.by_id[op], nodes) is precision.mode
    }
    return Plan(kept, plan.recipes)


def compiled_plan(realized: Plan, ops: Ops, converted: fx.GraphModule, kernels: Sequence[Sequence[str]]) -> Plan:
    """`realized` without the ops for which the compiler made no 8-bit kernel.

    Args:
        realized: What the converted graph holds.
        ops: Its ops.
        converted: The graph.
        kernels: Per 8-bit kernel of the compiled graph, the names of what it reads.
    """
    made = Counter(m.group(1) for names in kernels for name in names if (m := _SCALE.search(name)))
    scales = weight_scales(realized, ops, converted)
    kept = {op: precision for op, precision in realized.precisions.items() if op not in scales or made[scales[op]] > 0}
    return Plan(kept, realized.recipes)


def kernels_of(graph: fx.Graph) -> list[list[str]]:
    """What each 8-bit kernel of a compiler's graph reads."""
    return [
        [source.name for source in node.all_input_nodes]
        for node in graph.nodes
        if node.op == "call_function" and _KERNEL.search(node.name)
    ]


def weight_scales(realized: Plan, ops: Ops, converted: fx.GraphModule) -> Mapping[str, str]:
    """By op id, the attribute that holds the scales of its weight."""
    nodes = {node.name: node for node in converted.graph.nodes}
    found = {}
    for op in realized:
        weight = _weight_of(ops.by_id[op], nodes)
        if weight is not None:
            found[op] = str(weight.args[1].target)
    return found


def tuning_record(realized: Plan, ops: Ops, converted: fx.GraphModule) -> dict[str, Any]:
    """By op id: type, precision, and the scales and zero points it runs with."""
    nodes = {node.name: node for node in converted.graph.nodes}
    record: dict[str, Any] = {}
    for op_id, precision in realized.precisions.items():
        op = ops.by_id[op_id]
        node = nodes[op.node]
        shift = _OFFSET if precision.activation is not None and precision.activation.dtype is DType.INT8 else 0
        entry: dict[str, Any] = {"type": op.type, "precision": precision.to_json()}
        if precision.mode is Mode.STATIC:
            read = _operands(op, nodes)
            entry["input"] = [_grid(source, shift) for source in read]
            quantized = [user for user in nodes[op.output].users if user.target is _QUANTIZE]
            if quantized:
                entry["output"] = _grid(quantized[0], shift)
        weight = _weight_of(op, nodes)
        if weight is not None:
            scales = tensor_of(converted, weight.args[1])
            assert scales is not None
            entry["weight"] = {"scales": scales.tolist(), "axis": weight.args[3]}
        entry["node"] = node.name
        record[op_id] = entry
    return record


def _mode(op: GraphOp, nodes: Mapping[str, fx.Node]) -> Mode:
    """The mode an op's own node runs in."""
    if op.type not in FOLLOWERS and _weight_of(op, nodes) is None:
        return Mode.FP32
    targets = {source.target for source in _operands(op, nodes)}
    if op.type in FOLLOWERS and not any(user.target is _QUANTIZE for user in nodes[op.output].users):
        return Mode.FP32
    if targets == {_STATIC}:
        return Mode.STATIC
    return Mode.DYNAMIC if targets == {_DYNAMIC} else Mode.FP32


def _operands(op: GraphOp, nodes: Mapping[str, fx.Node]) -> list[fx.Node]:
    node = nodes[op.node]
    first = node.args[0]
    read = list(first) if isinstance(first, list | tuple) else [first]
    if op.added is not None and any(n.target is _STATIC for n in read if isinstance(n, fx.Node)):
        total = nodes[op.added[0]]
        read += [n for n in total.args if n is not node]
    return [n for n in read if isinstance(n, fx.Node)]


def _weight_of(op: GraphOp, nodes: Mapping[str, fx.Node]) -> fx.Node | None:
    node = nodes[op.node]
    weight = node.args[1] if op.weight is not None else None
    return weight if isinstance(weight, fx.Node) and weight.target is _WEIGHT else None


def _grid(node: fx.Node, shift: int) -> dict[str, float | int]:
    scale, zero_point = node.args[1], node.args[2]
    assert isinstance(scale, float)
    assert isinstance(zero_point, int)
    return {"scale": scale, "zero_point": zero_point - shift}
