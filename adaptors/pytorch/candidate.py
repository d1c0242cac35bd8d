"""A PyTorch model built from a plan, ready to run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from autoq.adaptors.pytorch.execution import first_line
from autoq.adaptors.pytorch.guard import running
from autoq.adaptors.pytorch.outputs import flatten, to_numpy
from autoq.adaptors.pytorch.signature import Signature
from autoq.core.adaptor import RunOptions
from autoq.core.batch import Inputs, Outputs, TensorSpec
from autoq.core.errors import AutoqError, TrialError
from autoq.core.plan import Plan


@dataclass(eq=False)
class TorchCandidate:
    """Runs a module, or anything called like one.

    Attributes:
        run: Takes the arguments of the model's ``forward``, returns what it returns.
        signature: What it takes.
        outputs: What it gives; names and order of what `predict` returns.
        plan: What was asked for.
        realized: What really runs.
        native: What the user holds.
        size_bytes: Bytes its saved form takes.
        options: Threads.
        record: What ``tuning.json`` says of its ops: precision, scales, zero points; by op id.
        notes: What a user should know of it.
    """

    run: Callable[..., Any]
    signature: Signature
    outputs: tuple[TensorSpec, ...]
    plan: Plan
    realized: Plan
    native: nn.Module
    size_bytes: int
    options: RunOptions = field(default_factory=RunOptions)
    record: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def predict(self, inputs: Inputs) -> Outputs:
        """Run one batch.

        Raises:
            DataError: Wrong names, shapes or dtypes.
            TrialError: The model failed.
        """
        args, kwargs = self.signature.bind(inputs)
        with running(self.options.threads):
            try:
                found = flatten(self.run(*args, **kwargs))
            except AutoqError:
                raise
            except Exception as error:
                raise TrialError(f"the model failed: {type(error).__name__}: {first_line(error)}") from error
            return {name: to_numpy(tensor) for name, tensor in found.items()}

    def close(self) -> None:
        """Release the model."""
        self.run = _closed


def _closed(*_: Any, **__: Any) -> Any:
    raise TrialError("this candidate was closed")


def module_bytes(module: nn.Module) -> int:
    """Bytes of a module's parameters and buffers as they are saved, quantized ones in their packed form."""
    seen: set[int] = set()
    return sum(_bytes(value, seen) for value in module.state_dict().values())


def _bytes(value: Any, seen: set[int]) -> int:
    if isinstance(value, tuple | list):
        return sum(_bytes(v, seen) for v in value)
    if isinstance(value, torch.ScriptObject):
        return _bytes(value.__getstate__(), seen)
    if not isinstance(value, Tensor):
        return 0
    if not value.is_quantized:
        if value.data_ptr() in seen:
            return 0  # tied weights are saved once
        seen.add(value.data_ptr())
    size = value.numel() * value.element_size()
    if value.is_quantized and value.qscheme() in (torch.per_channel_affine, torch.per_channel_affine_float_qparams):
        size += 16 * value.q_per_channel_scales().numel()
    return size
