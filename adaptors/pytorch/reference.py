"""Float ops that compute what 8-bit kernels compute: between quantize and dequantize ops, in PyTorch's own form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.ao.quantization.fx._decomposed
from torch import Tensor, nn
from torch.nn import functional

from autoq.core.capability import Op
from autoq.core.plan import Plan
from autoq.core.precision import Mode

DYNAMIC_NOTE = "dynamic ops are exported in float: every runtime has dynamic kernels of its own"
BF16_NOTE = "what runs in bf16 is exported in float32"

_decomposed = torch.ops.quantized_decomposed


@dataclass(frozen=True)
class Reference:
    """What is exported.

    Attributes:
        module: Takes what the model takes, computes in float what a plan computes in 8 bits.
        ops: The model's ops in execution order.
        quantized: Ids of those that are quantized in it.
        notes: What it does not carry over from the plan.
    """

    module: nn.Module
    ops: Sequence[Op]
    quantized: frozenset[str]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class TensorGrid:
    """Scale and zero point of a quantized activation.

    Attributes:
        scale: Scale.
        zero_point: Zero point.
        dtype: ``torch.uint8`` or ``torch.int8``.
    """

    scale: float
    zero_point: int
    dtype: torch.dtype = torch.uint8

    def through(self, x: Tensor) -> Tensor:
        """A tensor as it is after it was stored in 8 bits."""
        limits = torch.iinfo(self.dtype)
        grid = (self.scale, self.zero_point, limits.min, limits.max, self.dtype)
        stored: Tensor = _decomposed.quantize_per_tensor(x, *grid)
        back: Tensor = _decomposed.dequantize_per_tensor(stored, *grid)
        return back


class StoredWeight(nn.Module):  # type: ignore[misc]
    """A weight in 8 bits, dequantized when it is asked for.

    Args:
        stored: Its values, ``int8``.
        scale: One scale, or one per channel.
        zero_point: In the shape of `scale`.
        axis: Axis of the channels; None for one scale.
    """

    def __init__(self, stored: Tensor, scale: Tensor, zero_point: Tensor, axis: int | None) -> None:
        super().__init__()
        self.axis = axis
        # Numbers, not tensors: the exporter takes one scale as part of the op only.
        self.grid = (float(scale), int(zero_point)) if axis is None else (1.0, 0)
        self.register_buffer("stored", stored)
        self.register_buffer("scale", scale.to(torch.float32))
        self.register_buffer("zero_point", zero_point.to(torch.int64))

    @classmethod
    def of(cls, weight: Tensor) -> StoredWeight:
        """From the framework's quantized weight, per tensor or per channel."""
        if str(weight.qscheme()).startswith("torch.per_channel"):
            scales, zero_points = weight.q_per_channel_scales(), weight.q_per_channel_zero_points()
            return cls(weight.int_repr(), scales, zero_points, weight.q_per_channel_axis())
        return cls(weight.int_repr(), torch.tensor(weight.q_scale()), torch.tensor(weight.q_zero_point()), None)

    def forward(self) -> Tensor:
        """The weight in float."""
        held: Any = self
        limits = torch.iinfo(held.stored.dtype)
        ends = (limits.min, limits.max, held.stored.dtype)
        weight: Tensor
        if self.axis is None:
            weight = _decomposed.dequantize_per_tensor(held.stored, *self.grid, *ends)
        else:
            weight = _decomposed.dequantize_per_channel(held.stored, held.scale, held.zero_point, self.axis, *ends)
        return weight


class ReferenceLeaf(nn.Module):  # type: ignore[misc]
    """One statically quantized convolution or linear layer in float ops.

    Args:
        original: The float module, whose settings are used.
        weight: Its quantized weight.
        bias: Its bias, or None.
        entry: Grid of the input.
        result: Grid of the output; None leaves it in float.
        relu: Whether a ReLU is fused into it.
    """

    def __init__(
        self,
        original: nn.Module,
        weight: Tensor,
        bias: Tensor | None,
        entry: TensorGrid,
        result: TensorGrid | None,
        *,
        relu: bool,
    ) -> None:
        super().__init__()
        self._original = [original]  # in a list: its float weight must not become part of this module
        self.stored_weight = StoredWeight.of(weight)
        self.register_buffer("stored_bias", None if bias is None else bias.detach().clone())
        self._entry = entry
        self._result = result
        self._relu = relu

    def forward(self, x: Tensor) -> Tensor:
        """What the 8-bit kernel computes."""
        held: Any = self
        original: Any = self._original[0]
        y = _applied(original, self._entry.through(x), self.stored_weight(), held.stored_bias)
        if self._relu:
            y = torch.relu(y)
        return y if self._result is None else self._result.through(y)

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            held = self.__dict__.get("_original")
            if not held or name.startswith("_"):
                raise
            return getattr(held[0], name)


def static_part(plan: Plan) -> Plan:
    """What of a plan an exported file carries: its static ops."""
    return Plan({op: p for op, p in plan.precisions.items() if p.mode is Mode.STATIC})


def notes_of(plan: Plan) -> tuple[str, ...]:
    """What of a plan an exported file does not carry."""
    modes = {p.mode for p in plan.precisions.values()}
    notes = [DYNAMIC_NOTE] if Mode.DYNAMIC in modes else []
    if Mode.BF16 in modes or any(recipe.name == "bf16" for recipe in plan.recipes):
        notes.append(BF16_NOTE)
    return tuple(notes)


def _applied(original: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    if isinstance(original, nn.Linear):
        return functional.linear(x, weight, bias)
    if isinstance(original, nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d):
        rank = original.weight.ndim - 2
        function = (functional.conv_transpose1d, functional.conv_transpose2d, functional.conv_transpose3d)[rank - 1]
        settings = (original.stride, original.padding, original.output_padding, original.groups, original.dilation)
        transposed: Tensor = function(x, weight, bias, *settings)
        return transposed
    convolved: Tensor = original._conv_forward(x, weight, bias)
    return convolved
