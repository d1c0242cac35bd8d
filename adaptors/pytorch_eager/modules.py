"""A model as a tree of modules, however it came."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule

from autoq.adaptors.pytorch.execution import Execution, first_line, record
from autoq.adaptors.pytorch.guard import copy_of, quiet
from autoq.adaptors.pytorch.model import Form, TorchModel
from autoq.adaptors.pytorch.outputs import flatten
from autoq.adaptors.pytorch_eager.leafify import with_modules
from autoq.core.errors import ModelError

_ALTERNATIVE = "give the nn.Module it was made from, or use dynamic quantization of that"


def module_form(model: TorchModel) -> tuple[nn.Module, Execution]:
    """A copy of the model whose quantizable parts are modules, and how it ran on the example.

    Raises:
        ModelError: It cannot be had.
    """
    if model.form is Form.MODULE:
        return copy_of(model.module), model.execution
    graph = _of_script(model) if model.form is Form.TORCHSCRIPT else copy_of(model.module)
    if not isinstance(graph, GraphModule):
        raise ModelError(f"the {model.form} has no graph", where=type(graph).__name__, hint=_ALTERNATIVE)
    module = with_modules(graph)
    args, kwargs = model.example
    _, execution = record(copy_of(module, share_weights=True), args, kwargs)
    return module, execution


def _of_script(model: TorchModel) -> nn.Module:
    """The graph of a TorchScript model, by the framework's own converter; checked against the original."""
    from torch._export.converter import TS2EPConverter

    args, kwargs = model.example
    names = model.signature.names[model.signature.positional :]
    inputs = (*args, *(kwargs[name] for name in names))
    # A batch of one would be taken for a fixed size.
    example = tuple(torch.cat([t, t]) if t.shape[0] == 1 else t for t in inputs)
    try:
        with quiet(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Manually populate")
            graph: nn.Module = TS2EPConverter(model.module, example, {}).convert().module()
            expected, found = flatten(model.module(*inputs)), flatten(graph(*inputs))
    except Exception as error:
        raise ModelError(
            f"this TorchScript model cannot be taken apart into modules: {type(error).__name__}: {first_line(error)}",
            where=type(model.module).__name__,
            hint=_ALTERNATIVE,
        ) from error
    if not _close(expected, found):
        raise ModelError("this TorchScript model computes something else once taken apart", hint=_ALTERNATIVE)
    return copy_of(graph)


def _close(expected: dict[str, Tensor], found: dict[str, Tensor]) -> bool:
    pairs: list[tuple[Any, Any]] = list(zip(expected.values(), found.values(), strict=False))
    return len(expected) == len(found) and all(
        a.shape == b.shape and torch.allclose(a.float(), b.float(), rtol=1e-3, atol=1e-5) for a, b in pairs
    )
