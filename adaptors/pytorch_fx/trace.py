"""From a module to the float graph that quantization works on: traced, tidied, verified and fused."""

from __future__ import annotations

import copy
import inspect
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.ao.quantization.backend_config import BackendConfig, get_native_backend_config
from torch.ao.quantization.fx.fuse import fuse
from torch.ao.quantization.fx.tracer import QuantizationTracer
from torch.ao.quantization.quantize_fx import _swap_ff_with_fxff
from torch.fx import GraphModule, Node

from autoq.adaptors.pytorch.guard import copy_of
from autoq.adaptors.pytorch.model import Form, TorchModel
from autoq.adaptors.pytorch.outputs import flatten
from autoq.core.errors import ModelError

SCOPE = "autoq_scope"
"""Key of `Node.meta`: the path of the module whose forward made the node."""

ELSEWHERE = "use framework pytorch_pt2e, which captures such models, or pytorch_eager, which needs no graph"

# They make tensors from sizes; symbolic tracing has no way to follow them by itself.
_FACTORIES = (torch.arange, torch.zeros, torch.ones, torch.full, torch.empty, torch.tensor)

_CONVOLUTIONS = {nn.functional.conv1d: 1, nn.functional.conv2d: 2, nn.functional.conv3d: 3}
_CONVOLUTION_DEFAULTS = {"bias": None, "stride": 1, "padding": 0, "dilation": 1, "groups": 1}

# Fusing batch norms into convolutions rounds differently; a wrong path through the code differs by far more.
_TOLERANCE = 1e-3


def backend() -> BackendConfig:
    """The patterns that PyTorch's native quantized kernels take; engine onednn runs them all."""
    return get_native_backend_config()


def traced(model: TorchModel) -> GraphModule:
    """The float graph of a model in evaluation mode, nothing fused yet. The model stays as it is; weights are shared.

    Every call of a module has a module of its own, so that each can be quantized in its own way, and what does
    nothing in evaluation mode (dropout, identity) is gone.

    Raises:
        ModelError: Symbolic tracing cannot carry the model, or takes another way through it than the example.
    """
    if model.form is Form.TORCHSCRIPT:
        raise ModelError(
            "a TorchScript model has no Python code that FX could trace",
            hint="give the module itself (package.module:factory and a state dict), or use framework pytorch_eager",
        )
    if model.form is Form.EXPORTED:
        raise ModelError(
            "FX finds nothing to quantize in an exported program: its modules are gone",
            hint="use framework pytorch_pt2e, or give the module itself (package.module:factory and a state dict)",
        )
    root = copy_of(model.module, share_weights=True)
    _swap_ff_with_fxff(root)
    graph_module = _symbolic(root, model)
    _separate_calls(graph_module)
    _drop_idle(graph_module)
    _name_relus(graph_module)
    _spell_out(graph_module)
    _verify(graph_module, model)
    return graph_module


def fused(graph_module: GraphModule) -> GraphModule:
    """The graph with batch norms folded and ReLUs joined, where the framework has a kernel for both."""
    return fuse(graph_module, False, None, backend())


class _Tracer(QuantizationTracer):  # type: ignore[misc]
    """Knows where it is when it fails."""

    def __init__(self) -> None:
        super().__init__([], [])
        self.failed: str | None = None
        self.record_stack_traces = False
        self._autowrap_search.append(torch)
        self._autowrap_function_ids |= {id(function) for function in _FACTORIES}

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        try:
            return super().call_module(m, forward, args, kwargs)
        except Exception:
            if self.failed is None:
                self.failed = self.path_of_module(m)
            raise


def _symbolic(root: nn.Module, model: TorchModel) -> GraphModule:
    tracer = _Tracer()
    absent = _absent(root, model)
    try:
        graph = tracer.trace(root, absent)
    except Exception as error:
        line = _first_line(error)
        raise ModelError(
            f"symbolic tracing cannot carry this model: {line}{_source_line(error)}",
            where=tracer.failed or type(root).__name__,
            hint=ELSEWHERE,
        ) from error
    for node in graph.nodes:
        scope = tracer.node_name_to_scope.get(node.name)
        node.meta = {SCOPE: scope[0] if scope is not None else ""}
    _drop_arguments(graph, absent)
    return GraphModule(root, graph)


def _absent(root: nn.Module, model: TorchModel) -> dict[str, Any]:
    """Arguments of forward that the example leaves out, with their defaults: they are constants of the graph."""
    parameters = inspect.signature(root.forward).parameters.values()
    given = {spec.name for spec in model.inputs}
    return {p.name: p.default for p in parameters if p.name not in given and p.default is not inspect.Parameter.empty}


def _drop_arguments(graph: torch.fx.Graph, names: dict[str, Any]) -> None:
    # The tracer checks at run time that they are what they were; they cannot be anything else once they are gone.
    # A constant argument becomes a placeholder of that name with a number.
    for node in [n for n in graph.nodes if n.op == "placeholder" and n.target.rpartition("_")[0] in names]:
        for user in reversed(list(_users(node))):
            graph.erase_node(user)
        graph.erase_node(node)


def _users(node: Node) -> Iterator[Node]:
    for user in node.users:
        yield user
        yield from _users(user)


def _separate_calls(graph_module: GraphModule) -> None:
    seen: set[str] = set()
    for node in graph_module.graph.nodes:
        if node.op != "call_module":
            continue
        if node.target in seen:
            duplicate = copy_of(graph_module.get_submodule(node.target), share_weights=True)
            node.target = _unused(graph_module, node.target)
            graph_module.add_submodule(node.target, duplicate)
        seen.add(node.target)
    graph_module.recompile()


def _unused(graph_module: GraphModule, path: str) -> str:
    taken = {name for name, _ in graph_module.named_modules(remove_duplicate=False)}
    number = 1
    while f"{path}_call{number}" in taken:
        number += 1
    return f"{path}_call{number}"


def _drop_idle(graph_module: GraphModule) -> None:
    for node in list(graph_module.graph.nodes):
        if _is_idle(node, graph_module) and isinstance(node.args[0], Node):
            node.replace_all_uses_with(node.args[0])
            graph_module.graph.erase_node(node)
    graph_module.graph.eliminate_dead_code()
    graph_module.delete_all_unused_submodules()
    graph_module.recompile()


def _is_idle(node: Node, graph_module: GraphModule) -> bool:
    if not node.args:
        return False
    if node.op == "call_module":
        module = graph_module.get_submodule(str(node.target))
        idle = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout)
        return isinstance(module, idle)
    training = node.kwargs.get("training", node.args[2] if len(node.args) > 2 else True)
    return node.target is nn.functional.dropout and training is False


def _name_relus(graph_module: GraphModule) -> None:
    # The framework fuses one spelling of a ReLU function and not the others.
    for node in graph_module.graph.nodes:
        method = node.op == "call_method" and node.target in ("relu", "relu_")
        if method or (node.op == "call_function" and node.target in (torch.relu, torch.relu_)):
            node.op, node.target = "call_function", nn.functional.relu
    graph_module.recompile()


def _spell_out(graph_module: GraphModule) -> None:
    # The int8 forms of these functions want every argument, in order, and a number per axis.
    for node in graph_module.graph.nodes:
        if node.op != "call_function" or node.target not in _CONVOLUTIONS or "input" in node.kwargs:
            continue
        names = ("input", "weight", *_CONVOLUTION_DEFAULTS)
        given = {**_CONVOLUTION_DEFAULTS, **dict(zip(names, node.args, strict=False)), **node.kwargs}
        axes = _CONVOLUTIONS[node.target]
        for name in ("stride", "padding", "dilation"):
            if isinstance(given[name], int):
                given[name] = (given[name],) * axes
        node.args, node.kwargs = tuple(given[name] for name in names), {}
    graph_module.recompile()


def _verify(graph_module: GraphModule, model: TorchModel) -> None:
    args, kwargs = model.example
    wanted = flatten(model.module(*_copies(args), **_copies(kwargs)))
    try:
        found = flatten(graph_module(*_copies(args), **_copies(kwargs)))
    except Exception as error:
        raise ModelError(f"the traced graph does not run: {_first_line(error)}", hint=ELSEWHERE) from error
    for name, tensor in wanted.items():
        if name not in found or not _equal(found[name], tensor):
            raise ModelError(
                f"the traced graph computes another '{name}' than the model: its way depends on the inputs",
                where=f"output {name}",
                hint=ELSEWHERE,
            )


def _copies(values: Any) -> Any:
    # A model may write into its inputs.
    return copy.deepcopy(values)


def _equal(found: Tensor, wanted: Tensor) -> bool:
    if found.shape != wanted.shape or found.dtype != wanted.dtype:
        return False
    if not wanted.is_floating_point():
        return bool(torch.equal(found, wanted))
    slack = _TOLERANCE * float(wanted.abs().max()) if wanted.numel() else 0.0
    return bool(torch.allclose(found, wanted, rtol=0.0, atol=slack, equal_nan=True))


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__


def _source_line(error: BaseException) -> str:
    """The user's own line that tracing stopped at."""
    ours = Path(__file__).parent.name
    inside = Path(torch.__file__).parent
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename)
        if inside in path.parents or path.parent.name == ours or frame.filename.startswith("<"):
            continue
        code = f": {frame.line}" if frame.line else ""
        return f" ({path.name}:{frame.lineno}{code})"
    return ""
