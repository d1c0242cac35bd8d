"""The quantizable ops of a fused float graph: ids, members, inputs and outputs, and what merely passes values on."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.ao.quantization.backend_config.utils import get_fusion_pattern_to_root_node_getter
from torch.ao.quantization.fx.match_utils import _find_matches
from torch.ao.quantization.fx.pattern_utils import _sorted_patterns_dict
from torch.ao.quantization.fx.quantize_handler import _get_pattern_to_quantize_handlers
from torch.fx import GraphModule, Interpreter, Node

from autoq.adaptors.pytorch.model import TorchModel
from autoq.adaptors.pytorch.transposed import kernel_fault, widened
from autoq.adaptors.pytorch_fx.kinds import RECURRENT, WEIGHTED, type_of
from autoq.adaptors.pytorch_fx.packing import PackedWeights
from autoq.adaptors.pytorch_fx.trace import SCOPE, backend, fused, traced

# The one entry of `Node.meta` that survives when conversion replaces a node; shown with errors, so it is a sentence.
_MARK = "op "

_CALL = "_call"


@dataclass(frozen=True)
class Member:
    """One call of an op: the nodes of one matched pattern, e.g. an addition and the ReLU behind it.

    Attributes:
        root: The node that takes the inputs.
        last: The node that gives the output.
        nodes: All of them.
    """

    root: str
    last: str
    nodes: tuple[str, ...]


@dataclass(frozen=True)
class FxOp:
    """A quantizable unit.

    Attributes:
        id: Path of its module; for a function, the path of the module that calls it, and the node.
        type: One name per kind, in all PyTorch routes.
        members: Its calls in execution order; a module called twice has two.
        note: Why the framework cannot quantize it; empty when it can.
    """

    id: str
    type: str
    members: tuple[Member, ...]
    note: str = ""


@dataclass(frozen=True, eq=False)
class FxGraph:
    """A fused float graph and its ops.

    Attributes:
        fused: The graph. Never changed: builders work on copies.
        ops: In execution order.
        tensors: Names of the float tensors of the graph, by node name.
        sources: For each node that passes a tensor on (pooling, reshaping): the node whose tensor it passes on.
    """

    fused: GraphModule
    ops: tuple[FxOp, ...]
    tensors: Mapping[str, str]
    sources: Mapping[str, str]

    @cached_property
    def owner(self) -> Mapping[str, FxOp]:
        """The op of each node that belongs to one."""
        return {name: op for op in self.ops for member in op.members for name in member.nodes}

    @cached_property
    def packed(self) -> PackedWeights:
        """int8 weights of the plans made so far."""
        return PackedWeights(self.fused)

    @cached_property
    def by_id(self) -> Mapping[str, FxOp]:
        """Op by id."""
        return {op.id: op for op in self.ops}

    @cached_property
    def edges(self) -> tuple[tuple[str, str], ...]:
        """Which op feeds which, directly or through nodes that are no ops."""
        reaching: dict[str, dict[str, None]] = {}
        position = {op.id: i for i, op in enumerate(self.ops)}
        found: dict[tuple[str, str], None] = {}
        for node in self.fused.graph.nodes:
            feeding = {op: None for n in node.all_input_nodes for op in reaching[n.name]}
            own = self.owner.get(node.name)
            if own is None:
                reaching[node.name] = feeding
                continue
            reaching[node.name] = {own.id: None}
            found |= {(op, own.id): None for op in feeding if position[op] < position[own.id]}
        return tuple(found)

    def needed(self, static: Collection[str]) -> tuple[str, ...]:
        """Names of the tensors a plan may have to know the range of.

        Args:
            static: Ids of the ops that have a static form.
        """
        names: dict[str, None] = {}
        inside: set[str] = set()
        for node in self.fused.graph.nodes:
            owner = self.owner.get(node.name)
            if (owner is not None and owner.id in static) or self.sources.get(node.name) in inside:
                inside.add(node.name)
                around = (*node.all_input_nodes, node)
                names |= {self.tensors[n.name]: None for n in around if n.name in self.tensors and n.op != "get_attr"}
        return tuple(names)


def marked(node: Node) -> str | None:
    """Id of the op a node belongs to, in a float graph and in what was converted from it."""
    mark = node.stack_trace
    return mark.removeprefix(_MARK) if mark is not None else None


def graph_of(model: TorchModel) -> FxGraph:
    """Trace and fuse a model, and find its ops.

    Raises:
        ModelError: Symbolic tracing cannot carry it.
    """
    float_graph = fused(traced(model))
    values = _values(float_graph, model)
    modules = {name for name, _ in float_graph.named_modules(remove_duplicate=False)}
    matches = _matches(float_graph)
    members: dict[str, list[Member]] = {}
    types: dict[str, str] = {}
    notes: dict[str, str] = {}
    ids: dict[str, str] = {}
    for group in _groups(float_graph, matches):
        typed = next((n for n in group if type_of(n, float_graph) is not None), None)
        kind = type_of(typed, float_graph) if typed is not None else None
        if typed is None or kind is None:
            continue
        if kind not in RECURRENT and not _is_float(values.get(group[-1].name)):
            continue
        op_id = _module_id(str(typed.target)) if typed.op == "call_module" else _function_id(typed, ids, modules)
        ids[typed.name] = op_id
        types[op_id] = kind
        matched = typed.name in matches
        notes.setdefault(op_id, _obstacle(typed, kind, float_graph, values) if matched else "FX has no int8 form of it")
        names = tuple(n.name for n in group)
        members.setdefault(op_id, []).append(Member(typed.name, group[-1].name, names))
        for node in group:
            node.stack_trace = _MARK + op_id
    ops = tuple(FxOp(op_id, types[op_id], tuple(found), notes[op_id]) for op_id, found in members.items())
    tensors = _tensor_names(float_graph, ops, values)
    inside = {name for op in ops for member in op.members for name in member.nodes}
    sources = {
        n.name: n.all_input_nodes[0].name
        for n in float_graph.graph.nodes
        if n.name in matches and n.name not in inside and n.name in tensors and n.all_input_nodes
    }
    return FxGraph(float_graph, ops, tensors, sources)


def _values(fused: GraphModule, model: TorchModel) -> Mapping[str, Any]:
    """What each node gives on the example: (dtype, shape) of a tensor, None otherwise."""
    args, kwargs = model.example
    recorder = _Forms(fused)
    recorder.run(*placed(fused, args, kwargs))
    return recorder.forms


class _Forms(Interpreter):  # type: ignore[misc]
    def __init__(self, graph_module: GraphModule) -> None:
        super().__init__(graph_module)
        self.forms: dict[str, tuple[torch.dtype, tuple[int, ...]] | None] = {}

    def run_node(self, n: Node) -> Any:
        result = super().run_node(n)
        self.forms[n.name] = (result.dtype, tuple(result.shape)) if isinstance(result, Tensor) else None
        return result


def placed(graph_module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> list[Any]:
    """Arguments in the order of the placeholders, of which some may have defaults."""
    names = [n.target for n in graph_module.graph.nodes if n.op == "placeholder"]
    given = {**dict(zip(names, args, strict=False)), **kwargs}
    return [given[name].clone() for name in names if name in given]


def _matches(fused: GraphModule) -> Mapping[str, Any]:
    """Node name → (last node, ...) of the quantization pattern the framework finds there."""
    config = backend()
    handlers = _sorted_patterns_dict(_get_pattern_to_quantize_handlers(config))
    modules = dict(fused.named_modules(remove_duplicate=False))
    roots = get_fusion_pattern_to_root_node_getter(config)
    found: Mapping[str, Any] = _find_matches(fused.graph, modules, handlers, roots)
    return found


def _groups(fused: GraphModule, matches: Mapping[str, Any]) -> list[list[Node]]:
    """Nodes that are quantized as one, in the order of their first node."""
    groups: dict[str, list[Node]] = {}
    for node in fused.graph.nodes:
        last = matches[node.name][0].name if node.name in matches else node.name
        groups.setdefault(last, []).append(node)
    return list(groups.values())


def _module_id(path: str) -> str:
    """The path by which the user knows a module; calls after the first have modules of their own."""
    head, mark, tail = path.rpartition(_CALL)
    return head if mark and tail.isdigit() else path


def _function_id(node: Node, ids: Mapping[str, str], modules: set[str]) -> str:
    """The calling module's path and the function's name there, counted where it is called again."""
    scope = node.meta.get(SCOPE, "")
    weight = node.args[1] if len(node.args) > 1 else None
    if scope and scope not in ids.values() and isinstance(weight, Node) and weight.target == f"{scope}.weight":
        return str(scope)  # a layer of the user's own making, which goes by its path like any other
    base = str(node.target if node.op == "call_method" else getattr(node.target, "__name__", node.name)).strip("_")
    prefix = f"{scope}.{base}" if scope else base
    used = {*ids.values(), *modules}
    number, name = 0, prefix
    while name in used:
        number += 1
        name = f"{prefix}_{number}"
    return name


def _tensor_names(fused: GraphModule, ops: tuple[FxOp, ...], values: Mapping[str, Any]) -> dict[str, str]:
    outputs: dict[str, str] = {}
    for op in ops:
        for i, member in enumerate(op.members):
            outputs[member.last] = f"{op.id}.output" if i == 0 else f"{op.id}.output_{i}"
    names: dict[str, str] = {}
    for node in fused.graph.nodes:
        if _is_float(values.get(node.name)):
            names[node.name] = outputs.get(node.name, node.name)
    return names


def _is_float(form: Any) -> bool:
    return form is not None and form[0] == torch.float32


def _obstacle(node: Node, kind: str, fused: GraphModule, values: Mapping[str, Any]) -> str:
    """Why an op of a type that can be quantized cannot; empty when it can."""
    if node.op == "call_module":
        module = fused.get_submodule(str(node.target))
        form = values.get(node.all_input_nodes[0].name) if node.all_input_nodes else None
        if kind.startswith("ConvTranspose") and form is not None:
            return kernel_fault(widened(module), form[1])
        return _module_obstacle(module)
    if kind in WEIGHTED:
        return _function_obstacle(node, kind)
    operands = list(_operands(node, kind))
    if any(not isinstance(n, Node) or not _is_float(values.get(n.name)) or n.op == "get_attr" for n in operands):
        return "not all of its operands are activations"
    return ""


def _function_obstacle(node: Node, kind: str) -> str:
    if kind.startswith("ConvTranspose"):
        return "a transposed convolution has an int8 form as a module only"
    weight = node.args[1] if len(node.args) > 1 else None
    if not isinstance(weight, Node) or weight.op != "get_attr":
        return "its weight is computed, not a parameter"
    if any(isinstance(argument, str) for argument in (*node.args, *node.kwargs.values())):
        return "padding given as a word has no int8 form; give numbers"
    return ""


def _operands(node: Node, kind: str) -> Iterator[Any]:
    if kind == "Concat":
        yield from node.args[0] if isinstance(node.args[0], tuple | list) else ()
    elif kind in ("Add", "Mul", "MatMul"):
        yield from node.args[:2]
        if len(node.args) < 2:
            yield None
    else:
        yield node.args[0] if node.args else None


def _module_obstacle(module: torch.nn.Module) -> str:
    inner = module[0] if isinstance(module, torch.nn.Sequential) else module
    if getattr(inner, "padding_mode", "zeros") not in ("zeros", "reflect"):
        return f"no int8 kernel pads with '{inner.padding_mode}'"
    if isinstance(getattr(inner, "padding", 0), str):
        return "padding given as a word has no int8 form; give numbers"
    if getattr(inner, "proj_size", 0):
        return "no int8 form with a projection"
    if not getattr(inner, "affine", True):
        return "no int8 form without weight and bias"
    return ""
