"""From a module to the graph torch.export sees, with axes of any size where the model allows them."""

from __future__ import annotations

import contextlib
import io
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx

from autoq.adaptors.pytorch.execution import first_line
from autoq.adaptors.pytorch.flat import Flat
from autoq.adaptors.pytorch.guard import copy_of, quiet
from autoq.adaptors.pytorch.model import Form, TorchModel
from autoq.adaptors.pytorch.program import fixed_size
from autoq.core.batch import TensorSpec
from autoq.core.errors import ModelError

PREFIX = "model."
"""Before every module path of an exported graph."""

_OTHERS = ("/torch/", "/torchao/", str(Path(__file__).parent), "/contextlib.py")
_IMAGE_AXES = 4
_DATA_DEPENDENT = ("data-dependent", "_local_scalar_dense", "nonzero", "GuardOnDataDependentSymNode")


def export(model: TorchModel) -> fx.GraphModule:
    """The graph of a model: takes its inputs in order, returns a tuple of its outputs in order.

    Raises:
        ModelError: torch.export cannot carry the model; names the line of its source.
    """
    args, kwargs = model.example
    example = tuple(_two(tensor) for tensor in (*args, *kwargs.values()))
    # A copy, as some modules (caches, counters) change while they are traced; its weights are the original's.
    module = model.module if model.form is Form.EXPORTED else copy_of(model.module, share_weights=True)
    flat = Flat(module, model.signature)
    try:
        return export_program(flat, example).module(check_guards=False)
    except Exception as error:
        raise _refusal(error) from error


def export_program(module: torch.nn.Module, example: Sequence[Tensor]) -> torch.export.ExportedProgram:
    """Export a module that takes tensors by position, with every axis open that may change."""
    # The exporter prints the graph of a model it cannot carry.
    with quiet(), contextlib.redirect_stderr(io.StringIO()):
        return torch.export.export(
            module, tuple(example), dynamic_shapes=(tuple(_axes(t) for t in example),), strict=False
        )


def fixed_axes(graph_module: fx.GraphModule, specs: Sequence[TensorSpec]) -> tuple[TensorSpec, ...]:
    """The inputs with the sizes that the graph was made for; axes that may change stay open."""
    nodes = [node for node in graph_module.graph.nodes if node.op == "placeholder"]
    return tuple(_fixed(spec, node.meta.get("val")) for spec, node in zip(specs, nodes, strict=True))


def example_for(specs: Sequence[TensorSpec], example: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """The example with two samples where any number may come: an axis of one counts as fixed."""
    return tuple(
        _two(tensor) if spec.shape and not isinstance(spec.shape[0], int) else tensor
        for spec, tensor in zip(specs, example, strict=True)
    )


def _fixed(spec: TensorSpec, value: object) -> TensorSpec:
    if not isinstance(value, Tensor) or spec.shape is None:
        return spec
    # An input that the graph does not read has no size of its own.
    sizes = zip(value.shape, spec.shape, strict=True)
    return TensorSpec(
        spec.name, spec.dtype, tuple(any_ if (n := fixed_size(size)) is None else n for size, any_ in sizes)
    )


def _two(tensor: Tensor) -> Tensor:
    return torch.cat([tensor, tensor]) if tensor.shape[0] == 1 else tensor.clone()


def _axes(tensor: Tensor) -> dict[int, Any]:
    """The batch may change; of token ids, series and the like every axis; images keep their size."""
    free = [0] if tensor.ndim >= _IMAGE_AXES else [axis for axis in range(tensor.ndim) if tensor.shape[axis] > 1]
    return dict.fromkeys(free, torch.export.Dim.AUTO)


def _refusal(error: Exception) -> ModelError:
    line = _user_line(error)
    text = f"torch.export cannot carry this model: {type(error).__name__}: {first_line(error)}"
    if any(word in str(error) or word in type(error).__name__ for word in _DATA_DEPENDENT):
        text = "torch.export cannot carry this model: a decision or a shape in it depends on the values of its input"
    return ModelError(
        text,
        where=line,
        hint="framework: pytorch_eager quantizes modules one by one and needs no export; "
        "or decide with tensors instead of Python (torch.where, torch.cond)",
    )


def _user_line(error: BaseException) -> str | None:
    """The innermost line of the model's own source that the error came through."""
    own = [f for f in traceback.extract_tb(error.__traceback__) if not any(o in f.filename for o in _OTHERS)]
    return f"{own[-1].filename}:{own[-1].lineno}: {own[-1].line}" if own else None
