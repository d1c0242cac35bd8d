"""From a plan to an int8 graph: the framework's own prepare and convert around ranges that were collected before."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.ao.quantization import QConfig, QConfigMapping
from torch.ao.quantization.fx.prepare import prepare
from torch.ao.quantization.observer import ObserverBase
from torch.ao.quantization.quantize_fx import convert_fx
from torch.fx import GraphModule, Node

from autoq.adaptors.pytorch.statistics import unfilled
from autoq.adaptors.pytorch.transposed import TRANSPOSED, widened
from autoq.adaptors.pytorch_fx.graph import FxGraph, Member
from autoq.adaptors.pytorch_fx.kinds import ABSORBED
from autoq.adaptors.pytorch_fx.observers import PlannedObserver, is_dynamic, merged, planned_qconfig
from autoq.adaptors.pytorch_fx.trace import backend
from autoq.core.errors import TrialError
from autoq.core.plan import Plan
from autoq.core.precision import Mode, OpPrecision
from autoq.core.statistics import Calibration

_NODE = "node:"

# Key of `Node.meta`: the node is not the model's, and passes on the values of its first argument.
_ADDED = "autoq_added"

# Stands behind some ops while the framework works. Of a dynamic op, it takes the float result for int8, and would leave
# the static ops behind it without observers, in float with rounded weights. An activation function or a normalization
# in float it would run in int8 all the same where int8 ops stand around it, and hand that to whatever else reads it.
_BARRIER = torch.ops.aten.alias.default


def build(graph: FxGraph, plan: Plan, calibration: Calibration | None) -> GraphModule:
    """The converted model of a plan.

    Raises:
        TrialError: An op is unknown, calibration did not see a tensor, or the framework cannot convert the plan.
    """
    prepared = prepared_of(graph, plan)
    fill(prepared, graph, calibration)
    with graph.packed.used():
        return converted_of(prepared)


def converted_of(prepared: GraphModule) -> GraphModule:
    """The int8 model of a prepared one whose observers are filled."""
    with warnings.catch_warnings(), _uninitialized():
        # How the framework's own code copies the scales of recurrent weights.
        warnings.filterwarnings("ignore", message="To copy construct from a tensor")
        converted: GraphModule = convert_fx(prepared, backend_config=backend())
    drop_barriers(converted)
    return converted


@contextmanager
def _uninitialized() -> Iterator[None]:
    """No random weights for modules that are given theirs a moment later: a sixth of the conversion's time."""
    with ExitStack() as stack:
        for kind in (nn.modules.conv._ConvNd, nn.Linear):
            stack.enter_context(patch.object(kind, "reset_parameters", lambda _: None))
        yield


def prepared_of(graph: FxGraph, plan: Plan) -> GraphModule:
    """The model with observers where the plan quantizes; they have seen nothing yet.

    Raises:
        TrialError: The plan names an op that the model does not have.
    """
    unknown = next((op for op in plan if op not in graph.by_id), None)
    if unknown is not None:
        raise TrialError("the model has no such op", where=unknown)
    mapping, scopes = _mapping(graph, plan)
    copied = skeleton(graph.fused)
    for op, precision in plan.precisions.items():
        for member in graph.by_id[op].members:
            added = _adapt(copied, member, graph, precision)
            if added is not None:
                scopes[added.name] = (_NODE + added.name, nn.Module)
                if precision.mode is Mode.STATIC:
                    mapping.set_module_name(_NODE + added.name, mapping.module_name_qconfigs[scopes[member.last][0]])
    ends = _float_ends(graph, plan)
    for node in [n for n in copied.graph.nodes if n.name in ends]:
        added = _behind(node, _BARRIER, ())
        scopes[added.name] = (_NODE + added.name, nn.Module)
    copied.recompile()
    return prepare(copied, mapping, False, scopes, (), backend_config=backend())


def _adapt(copied: GraphModule, member: Member, graph: FxGraph, precision: OpPrecision) -> Node | None:
    """Put a node behind an op that the framework would not prepare rightly as it stands; None where it does."""
    if member.last not in graph.tensors:
        return None
    node = next(n for n in copied.graph.nodes if n.name == member.last)
    if precision.mode is Mode.DYNAMIC:
        return _behind(node, _BARRIER, ())
    module = copied.get_submodule(str(node.target)) if node.op == "call_module" else None
    if not isinstance(module, TRANSPOSED) or (wide := widened(module)) is module:
        return None
    copied.set_submodule(str(node.target), wide)
    return _behind(node, torch.narrow, (1, 0, module.out_channels))


def _float_ends(graph: FxGraph, plan: Plan) -> frozenset[str]:
    """Names of the last nodes of ops that the framework must be kept from quantizing."""
    kept = [op for op in graph.ops if op.type in ABSORBED and plan[op.id].is_float]
    return frozenset(member.last for op in kept for member in op.members)


def _behind(node: Node, target: Any, arguments: tuple[int, ...]) -> Node:
    with node.graph.inserting_after(node):
        added: Node = node.graph.call_function(target, (node, *arguments))
    node.replace_all_uses_with(added, lambda user: user is not added)
    added.meta[_ADDED] = True
    return added


def drop_barriers(converted: GraphModule) -> None:
    """Take out what only kept the framework from joining ops."""
    for node in [n for n in converted.graph.nodes if n.target is _BARRIER]:
        node.replace_all_uses_with(node.args[0])
        converted.graph.erase_node(node)
    converted.recompile()


def skeleton(module: GraphModule) -> GraphModule:
    """A copy with modules and graph of its own, and the very tensors of the original."""
    tensors = (*module.parameters(), *module.buffers())
    return copy.deepcopy(module, {id(tensor): tensor for tensor in tensors})


def fill(prepared: GraphModule, graph: FxGraph, calibration: Calibration | None) -> None:
    """Give every observer of a prepared model the range that calibration saw.

    An observer that stands at several places (a concatenation and its inputs, a pooling and its input) gets the
    range of all of them, as if it had observed them.

    Raises:
        TrialError: Calibration did not see a tensor.
    """
    modules = dict(prepared.named_modules(remove_duplicate=False))
    places: dict[int, list[Node]] = {}
    observers: dict[int, ObserverBase] = {}
    for node in prepared.graph.nodes:
        observer = modules.get(str(node.target)) if node.op == "call_module" else None
        if isinstance(observer, ObserverBase) and not is_dynamic(observer):
            places.setdefault(id(observer), []).append(_producer(node.args[0], modules))
            observers[id(observer)] = observer
    for key, producers in places.items():
        _fill(observers[key], producers, prepared, graph, calibration)
    missing = unfilled((places[key][0].name, observer) for key, observer in observers.items())
    if missing:
        raise TrialError("calibration left this tensor without a range", where=missing[0])


def _fill(
    observer: ObserverBase,
    producers: list[Node],
    prepared: GraphModule,
    graph: FxGraph,
    calibration: Calibration | None,
) -> None:
    weights = [n for n in producers if n.op == "get_attr"]
    for node in weights:
        observer(_attribute(prepared, str(node.target)))
    if weights or not isinstance(observer, PlannedObserver):
        return
    seen = []
    for node in producers:
        name = graph.tensors.get(node.name, node.name)
        if calibration is None or name not in calibration.tensors:
            raise TrialError(
                "static quantization needs the range of a tensor that calibration did not see",
                where=name,
                hint="give calibration data that run through this op",
            )
        seen.append(calibration.tensors[name])
    observer.fill(merged(seen))


def _producer(node: Node, modules: Mapping[str, nn.Module]) -> Node:
    """The node whose value is observed, behind other observers and what was added."""
    while _ADDED in node.meta or isinstance(modules.get(str(node.target)), ObserverBase):
        node = node.args[0]
    return node


def _attribute(module: nn.Module, path: str) -> Tensor:
    parent, _, name = path.rpartition(".")
    value: Tensor = getattr(module.get_submodule(parent), name)
    return value.detach()


def _mapping(graph: FxGraph, plan: Plan) -> tuple[QConfigMapping, dict[str, tuple[str, type]]]:
    """What the framework is told: a configuration per node. Nodes that only pass values on follow their producer."""
    # One object per precision, as the framework compares configurations by identity of their observers.
    configs: dict[OpPrecision, QConfig | None] = {p: planned_qconfig(p) for p in set(plan.precisions.values())}
    mapping = QConfigMapping().set_global(None)
    scopes: dict[str, tuple[str, type]] = {}
    chosen: dict[str, OpPrecision | None] = {}
    for node in graph.fused.graph.nodes:
        scope = str(node.target) if node.op == "call_module" else _NODE + node.name
        scopes[node.name] = (scope, nn.Module)
        precision = _precision(node, graph, plan, chosen)
        chosen[node.name] = precision
        if precision is not None and configs[precision] is not None:
            mapping.set_module_name(scope, configs[precision])
    return mapping, scopes


def _precision(node: Node, graph: FxGraph, plan: Plan, chosen: Mapping[str, OpPrecision | None]) -> OpPrecision | None:
    owner = graph.owner.get(node.name)
    if owner is not None:
        return plan[owner.id] if owner.id in plan.precisions else None
    source = graph.sources.get(node.name)
    found = chosen.get(source) if source is not None else None
    return found if found is not None and found.mode is Mode.STATIC else None
