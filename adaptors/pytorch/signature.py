"""What ``forward`` takes: names, order, dtypes and ranks, and how a batch is bound to them."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from autoq.core.batch import Array, Inputs, TensorSpec
from autoq.core.errors import DataError, ModelError
from autoq.core.suggest import did_you_mean

BATCH = "batch"

Arguments = tuple[tuple[Tensor, ...], dict[str, Tensor]]
"""Positional and keyword arguments of ``forward``."""


@dataclass(frozen=True)
class Signature:
    """The inputs a model is run with.

    Attributes:
        inputs: Name, dtype and shape of each, in the order of ``forward``.
        positional: How many of them, from the first, are passed by position; the others by name.
        written: Whether the model writes into its inputs: it is then given copies.
    """

    inputs: tuple[TensorSpec, ...]
    positional: int
    written: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """Names in order."""
        return tuple(spec.name for spec in self.inputs)

    def bind(self, inputs: Inputs) -> Arguments:
        """Arguments for ``forward``.

        Raises:
            DataError: A name is missing or unknown, there are too many or too few arrays, or a dtype or shape differs.
        """
        tensors = self.tensors(inputs)
        named = dict(zip(self.names[self.positional :], tensors[self.positional :], strict=True))
        return tensors[: self.positional], named

    def tensors(self, inputs: Inputs) -> tuple[Tensor, ...]:
        """All inputs in order, as tensors.

        Raises:
            DataError: See `bind`.
        """
        arrays = self._ordered(inputs)
        tensors = tuple(_tensor(spec, array) for spec, array in zip(self.inputs, arrays, strict=True))
        return tuple(t.clone() for t in tensors) if self.written else tensors

    def split(self, tensors: Sequence[Tensor]) -> Arguments:
        """Tensors in order as arguments for ``forward``."""
        named = dict(zip(self.names[self.positional :], tensors[self.positional :], strict=True))
        return tuple(tensors[: self.positional]), named

    def to_json(self) -> dict[str, Any]:
        """Plain data; the inverse of `from_json`."""
        return {
            "inputs": [spec_to_json(s) for s in self.inputs],
            "positional": self.positional,
            "written": self.written,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Signature:
        """Rebuild from `to_json`."""
        return cls(tuple(spec_from_json(s) for s in data["inputs"]), int(data["positional"]), bool(data["written"]))

    def _ordered(self, inputs: Inputs) -> list[Any]:
        if isinstance(inputs, Mapping):
            odd = next((n for n in inputs if n not in self.names), None)
            odd = odd if odd is not None else next((n for n in self.names if n not in inputs), None)
            if odd is not None:
                problem = "does not take" if odd in inputs else "needs"
                raise DataError(
                    f"the model {problem} an input '{odd}'",
                    hint=f"it was loaded with the inputs: {', '.join(self.names)}",
                )
            return [inputs[name] for name in self.names]
        arrays = list(inputs) if isinstance(inputs, list | tuple) else [inputs]
        if len(arrays) != len(self.inputs):
            raise DataError(
                f"the model takes {len(self.inputs)} inputs, and the batch has {len(arrays)}",
                hint=f"its inputs, in order: {', '.join(self.names)}",
            )
        return arrays


def signature_of(module: nn.Module, example: Inputs) -> tuple[Signature, tuple[Tensor, ...]]:
    """The signature that fits an example batch, and the example in its order.

    Raises:
        DataError: The example does not fit ``forward``: unknown names, or too many arrays.
        ModelError: ``forward`` cannot be inspected.
    """
    parameters, open_ended = _parameters(module)
    if isinstance(example, Mapping):
        given = {str(name): as_tensor(array, name) for name, array in example.items()}
        known = [name for name in parameters if name in given]
        unknown = [name for name in given if name not in parameters]
        if unknown and not open_ended:
            raise DataError(
                f"the model's forward takes no '{unknown[0]}'",
                hint=did_you_mean(unknown[0], parameters) or f"it takes: {', '.join(parameters)}",
            )
        names = [*known, *unknown]
        tensors = tuple(given[name] for name in names)
        positional = next((i for i, name in enumerate(names) if i >= len(parameters) or parameters[i] != name), None)
        count = len(names) if positional is None else positional
    else:
        arrays = list(example) if isinstance(example, list | tuple) else [example]
        names = list(parameters[: len(arrays)])
        if len(arrays) > len(parameters):
            if not open_ended:
                raise DataError(
                    f"the model's forward takes {len(parameters)} inputs, and the batch has {len(arrays)}",
                    hint=f"its inputs, in order: {', '.join(parameters)}",
                )
            names += [f"input_{i}" for i in range(len(parameters), len(arrays))]
        tensors = tuple(as_tensor(array, name) for name, array in zip(names, arrays, strict=True))
        count = len(names)
    specs = tuple(spec_of(name, tensor) for name, tensor in zip(names, tensors, strict=True))
    return Signature(specs, count), tensors


def spec_of(name: str, tensor: Tensor, samples: int | None = None) -> TensorSpec:
    """Dtype and rank of a tensor; every axis may change, and the first is the batch.

    Args:
        name: Its name.
        tensor: An example.
        samples: For an output: how many samples went in; an output whose first axis is another has no batch axis.
    """
    dtype = str(tensor.dtype).removeprefix("torch.")
    dtype = "float32" if dtype == "bfloat16" else dtype
    axes: list[int | str | None] = [None] * tensor.ndim
    if tensor.ndim and (samples is None or tensor.shape[0] == samples):
        axes[0] = BATCH
    return TensorSpec(name, dtype, tuple(axes))


def check_shape(spec: TensorSpec, tensor: Tensor, hint: str | None = None) -> None:
    """The tensor has the rank, and where they are fixed the sizes, of a spec.

    Raises:
        DataError: It has others.
    """
    if spec.shape is None:
        return
    pairs = zip(spec.shape, tensor.shape, strict=False)
    if len(spec.shape) != tensor.ndim or any(isinstance(want, int) and want != have for want, have in pairs):
        shape = ", ".join(str(size) if size == BATCH or isinstance(size, int) else "any" for size in spec.shape)
        raise DataError(f"input '{spec.name}' takes [{shape}], not {list(tensor.shape)}", where=spec.name, hint=hint)


def as_tensor(value: Any, name: object) -> Tensor:
    """A tensor of an array, or the tensor itself.

    Raises:
        DataError: There is no such torch dtype.
    """
    if isinstance(value, Tensor):
        return value.detach()
    array: Array = np.asarray(value)
    if not array.flags.writeable or not array.flags.c_contiguous:
        array = np.array(array, order="C")  # torch cannot share read-only memory or negative strides
    try:
        return torch.from_numpy(array)
    except TypeError as error:
        raise DataError(f"input '{name}' holds {array.dtype}, which torch does not have: {error}") from error


def spec_to_json(spec: TensorSpec) -> dict[str, Any]:
    """Plain data; the inverse of `spec_from_json`."""
    return {"name": spec.name, "dtype": spec.dtype, "shape": None if spec.shape is None else list(spec.shape)}


def spec_from_json(data: Mapping[str, Any]) -> TensorSpec:
    """Rebuild from `spec_to_json`."""
    shape = data["shape"]
    return TensorSpec(data["name"], data["dtype"], None if shape is None else tuple(shape))


def _tensor(spec: TensorSpec, value: Any) -> Tensor:
    tensor = as_tensor(value, spec.name)
    wanted: torch.dtype = getattr(torch, spec.dtype)
    if tensor.dtype != wanted:
        if tensor.is_complex() or tensor.is_floating_point() != wanted.is_floating_point:
            raise DataError(
                f"input '{spec.name}' takes {spec.dtype}, not {str(tensor.dtype).removeprefix('torch.')}",
                where=spec.name,
            )
        tensor = tensor.to(wanted)
    check_shape(spec, tensor)
    return tensor


def _parameters(module: nn.Module) -> tuple[tuple[str, ...], bool]:
    """Names ``forward`` takes, in order, and whether it takes any others."""
    if isinstance(module, torch.jit.ScriptModule):
        return tuple(a.name for a in module.forward.schema.arguments if a.name != "self"), False
    try:
        signature = inspect.signature(module.forward)
    except (TypeError, ValueError) as error:
        raise ModelError(
            f"the forward of this model cannot be inspected: {error}", where=type(module).__name__
        ) from error
    kinds = inspect.Parameter
    parameters = signature.parameters.values()
    named = [p.name for p in parameters if p.kind in (kinds.POSITIONAL_ONLY, kinds.POSITIONAL_OR_KEYWORD)]
    named += [p.name for p in parameters if p.kind is kinds.KEYWORD_ONLY]
    return tuple(named), any(p.kind in (kinds.VAR_POSITIONAL, kinds.VAR_KEYWORD) for p in parameters)
