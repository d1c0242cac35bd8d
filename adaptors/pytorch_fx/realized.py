"""What really runs: read back from a converted graph, with the scales it uses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node

from autoq.adaptors.pytorch_fx.graph import FxGraph, marked
from autoq.core.plan import Plan
from autoq.core.precision import Mode, OpPrecision

_STATIC_MODULES = ("torch.ao.nn.quantized.modules", "torch.ao.nn.intrinsic.quantized.modules")
_DYNAMIC_MODULES = ("torch.ao.nn.quantized.dynamic", "torch.ao.nn.intrinsic.quantized.dynamic")

# They run on int8 tensors as they are; whether they do depends on what they are given.
_AGNOSTIC = (torch.cat,)


def realized_plan(plan: Plan, converted: GraphModule) -> Plan:
    """`plan` as it was carried out: without the ops that stayed float, or run in another mode than they were to."""
    modes = modes_of(converted)
    kept: dict[str, OpPrecision] = {}
    for op, precision in plan.precisions.items():
        found = modes.get(op, set())
        if found == {precision.mode}:
            kept[op] = precision
    return Plan(kept, plan.recipes)


def modes_of(converted: GraphModule) -> Mapping[str, set[Mode]]:
    """By op id: in which modes its calls run."""
    modules = dict(converted.named_modules(remove_duplicate=False))
    quantized = quantized_nodes(converted)
    found: dict[str, set[Mode]] = {}
    for node in converted.graph.nodes:
        op = marked(node)
        mode = _mode(node, modules, quantized) if op is not None else None
        if op is not None and mode is not None:
            found.setdefault(op, set()).add(mode)
    return found


def quantized_nodes(converted: GraphModule) -> frozenset[str]:
    """Names of the nodes that give int8 tensors."""
    modules = dict(converted.named_modules(remove_duplicate=False))
    found: set[str] = set()
    for node in converted.graph.nodes:
        if _gives_int8(node, modules, found):
            found.add(node.name)
    return frozenset(found)


def _mode(node: Node, modules: Mapping[str, nn.Module], quantized: frozenset[str]) -> Mode | None:
    """How one node runs; None for what only prepares it, or is part of another's kernel."""
    if node.op == "call_module":
        origin = type(modules[str(node.target)]).__module__
        if origin.startswith(_DYNAMIC_MODULES):
            return Mode.DYNAMIC
        if origin.startswith(_STATIC_MODULES):
            return Mode.STATIC
        if isinstance(modules[str(node.target)], nn.ReLU):
            return None
        return Mode.FP32
    if node.op == "call_function":
        if _is_kernel(node.target):
            return Mode.DYNAMIC if "dynamic" in str(node.target) else Mode.STATIC
        if node.target in _AGNOSTIC:
            return Mode.STATIC if node.name in quantized else Mode.FP32
        if node.target in (torch.quantize_per_tensor, torch.quantize_per_channel, torch.nn.functional.relu):
            return None
        return Mode.FP32
    return None


def _gives_int8(node: Node, modules: Mapping[str, nn.Module], quantized: set[str]) -> bool:
    if node.op == "call_module":
        module = modules[str(node.target)]
        if type(module).__module__.startswith(_STATIC_MODULES) and not type(module).__module__.startswith(
            _DYNAMIC_MODULES
        ):
            return True
        return not any(True for _ in module.parameters()) and _takes_int8(node, quantized)
    if node.op == "call_function":
        if node.target is torch.quantize_per_tensor:
            return True
        if _is_kernel(node.target):
            return "dynamic" not in str(node.target)
        return _takes_int8(node, quantized)
    return node.op == "call_method" and node.target != "dequantize" and _takes_int8(node, quantized)


def _takes_int8(node: Node, quantized: set[str]) -> bool:
    return any(source.name in quantized for source in node.all_input_nodes)


def _is_kernel(target: Any) -> bool:
    return str(target).startswith("quantized.")


def tuning_record(plan: Plan, graph: FxGraph, converted: GraphModule) -> dict[str, Any]:
    """By op id: its precision, and the scales and zero points it runs with.

    Args:
        plan: What was realized.
        graph: The float graph.
        converted: The int8 graph.
    """
    grids = _grids(converted)
    record: dict[str, Any] = {}
    for node in converted.graph.nodes:
        op = marked(node)
        if op is None or op not in plan.precisions:
            continue
        entry = record.setdefault(op, {"type": graph.by_id[op].type, "precision": plan[op].to_json()})
        inputs = [grids[n.name] for n in node.all_input_nodes if n.name in grids]
        if inputs:
            entry.setdefault("input", inputs)
        if node.name in grids:
            entry["output"] = grids[node.name]
        entry |= _weight(converted, node)
    return record


def _grids(converted: GraphModule) -> dict[str, dict[str, float | int]]:
    """Scale and zero point of every int8 tensor, by the node that gives it."""
    modules = dict(converted.named_modules(remove_duplicate=False))
    quantized = quantized_nodes(converted)
    found: dict[str, dict[str, float | int]] = {}
    for node in converted.graph.nodes:
        if node.name not in quantized:
            continue
        own = _own_grid(node, modules, converted)
        source = next((n.name for n in node.all_input_nodes if n.name in found), None)
        if own is not None:
            found[node.name] = {"scale": own[0], "zero_point": own[1]}
        elif source is not None:
            found[node.name] = found[source]
    return found


def _own_grid(node: Node, modules: Mapping[str, nn.Module], converted: GraphModule) -> tuple[float, int] | None:
    if node.op == "call_module":
        module = modules[str(node.target)]
        if type(module).__module__.startswith(_STATIC_MODULES) and hasattr(module, "scale"):
            return float(module.scale), int(module.zero_point)
        return None
    if node.op == "call_function" and (node.target is torch.quantize_per_tensor or _is_kernel(node.target)):
        values = [_constant(n, converted) for n in node.all_input_nodes if n.op == "get_attr"]
        scalars = [v for v in values if isinstance(v, Tensor) and v.numel() == 1]
        if len(scalars) >= 2:
            return float(scalars[-2]), int(scalars[-1])
    return None


def _constant(node: Node, converted: GraphModule) -> Any:
    parent, _, name = str(node.target).rpartition(".")
    return getattr(converted.get_submodule(parent), name, None)


def _weight(converted: GraphModule, node: Node) -> dict[str, Any]:
    packed: Any = None
    if node.op == "call_module":
        module = converted.get_submodule(str(node.target))
        if isinstance(module, nn.RNNBase) or not callable(getattr(module, "weight", None)):
            return {}
        packed = module.weight()
    else:
        packed = next(
            (w for w in _packed(converted, node) if w is not None),
            None,
        )
    if not isinstance(packed, Tensor) or not packed.is_quantized:
        return {}
    if packed.qscheme() in (torch.per_channel_affine, torch.per_channel_symmetric):
        scales = packed.q_per_channel_scales().tolist()
    else:
        scales = [packed.q_scale()]
    return {"weight": {"scales": [float(s) for s in scales]}}


def _packed(converted: GraphModule, node: Node) -> Iterator[Tensor | None]:
    for source in node.all_input_nodes:
        if source.op == "get_attr":
            value = _constant(source, converted)
            if isinstance(value, torch.ScriptObject):
                yield value.unpack()[0]
