"""A model with tensors only on both sides: what compilers and file formats take."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from autoq.adaptors.pytorch.outputs import flatten
from autoq.adaptors.pytorch.signature import Signature


class Flat(nn.Module):  # type: ignore[misc]
    """Takes the model's inputs in order, returns a tuple of its outputs in order, bfloat16 ones as float32.

    Args:
        model: Any module with the signature's ``forward``.
        signature: How inputs are passed.
        autocast: Run under CPU autocast to bfloat16.
    """

    def __init__(self, model: nn.Module, signature: Signature, *, autocast: bool = False) -> None:
        super().__init__()
        self.model = model
        self.signature = signature
        self._autocast = autocast
        self.training = False  # the model itself is in evaluation mode; an exported one forbids eval()

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """The outputs of `outputs.flatten`, without names."""
        args, kwargs = self.signature.split(tensors)
        # Autocast that is switched off would still be a part of an exported graph, and hide what is inside.
        with torch.autocast("cpu", torch.bfloat16) if self._autocast else nullcontext():
            found = flatten(self.model(*args, **kwargs))
        return tuple(t.float() if t.dtype == torch.bfloat16 else t for t in found.values())


class InBfloat16(nn.Module):  # type: ignore[misc]
    """A bfloat16 model that takes what its float32 original takes.

    Args:
        model: A copy that may be converted.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model.to(torch.bfloat16)  # as TorchScript allows it, too

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The model's own outputs, floats in float32 again."""
        found = self.model(*(_narrow(a) for a in args), **{name: _narrow(a) for name, a in kwargs.items()})
        return tree_map(_wide, found)


class Autocast(nn.Module):  # type: ignore[misc]
    """A float32 model whose convolutions and matrix products run in bfloat16.

    Args:
        model: The model.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The model's own outputs, floats in float32 again."""
        with torch.autocast("cpu", torch.bfloat16):
            found = self.model(*args, **kwargs)
        return tree_map(_wide, found)


def _wide(value: Any) -> Any:
    return value.float() if isinstance(value, Tensor) and value.dtype == torch.bfloat16 else value


def _narrow(value: Any) -> Any:
    return value.to(torch.bfloat16) if isinstance(value, Tensor) and value.is_floating_point() else value
