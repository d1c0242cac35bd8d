"""int8 weights in the layout of the kernels, made once per model and shared by all of its plans.

Converting a plan spends most of its time on quantizing and packing weights that do not depend on the rest of the plan.
The framework has no way to hand them in, so while a plan is converted its functions for that go through here.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.ao.nn.quantized.modules import conv as quantized_conv
from torch.ao.nn.quantized.modules.linear import LinearPackedParams
from torch.ao.nn.quantized.reference.modules.utils import ReferenceQuantizedModule

_PACKING = (
    quantized_conv.Conv1d,
    quantized_conv.Conv2d,
    quantized_conv.Conv3d,
    quantized_conv.ConvTranspose1d,
    quantized_conv.ConvTranspose2d,
    quantized_conv.ConvTranspose3d,
    LinearPackedParams,
)
"""Classes with a `set_weight_bias` of their own."""

_SHAPE = ("stride", "padding", "dilation", "groups", "padding_mode", "output_padding")
"""What a packed convolution holds beside its weight."""

_BLANK = object()
"""Stands for the weight that a quantized module is born with, and that nobody reads."""


@dataclass(frozen=True, eq=False)
class _Packed:
    """A packed weight with the grid it was quantized to."""

    scale: Tensor
    zero_point: Tensor
    parameters: Any


class PackedWeights:
    """The packed weights of a float model, filled as plans are converted.

    Memory: about the weights in 8 bits, once per style of quantizing weights.

    Args:
        module: The float model; its parameters must not change any more.
    """

    def __init__(self, module: nn.Module) -> None:
        self._tensors = {p.data_ptr(): p for p in module.parameters()}
        self._packed: dict[Hashable, _Packed] = {}

    @contextmanager
    def used(self) -> Iterator[None]:
        """Conversions in this block take weights from here, and leave theirs."""
        waiting: dict[int, tuple[Hashable, Any, Tensor]] = {}
        with ExitStack() as stack:
            quantize = ReferenceQuantizedModule.get_quantized_weight
            stack.enter_context(
                patch.object(
                    ReferenceQuantizedModule,
                    "get_quantized_weight",
                    lambda reference: self._quantized(reference, quantize, waiting),
                )
            )
            stack.enter_context(patch.object(torch, "_empty_affine_quantized", lambda *_, **__: _BLANK))
            for kind in _PACKING:
                stack.enter_context(patch.object(kind, "set_weight_bias", self._setter(kind.set_weight_bias, waiting)))
            yield

    def _quantized(
        self, reference: Any, quantize: Callable[[Any], Tensor], waiting: dict[int, tuple[Hashable, Any, Tensor]]
    ) -> Tensor | _Packed:
        """The packed weight of a reference module where it is known; else its quantized weight, noted for packing."""
        key = self._key(reference)
        held = self._packed.get(key) if key is not None else None
        if (
            held is not None
            and torch.equal(held.scale, reference.weight_scale)
            and torch.equal(held.zero_point, reference.weight_zero_point)
        ):
            return held
        weight = quantize(reference)
        if key is not None:
            waiting[id(weight)] = key, reference, weight
        return weight

    def _setter(self, original: Callable[..., None], waiting: dict[int, tuple[Hashable, Any, Tensor]]) -> Any:
        def set_weight_bias(module: Any, weight: Any, bias: Tensor | None) -> None:
            if weight is _BLANK:
                module._packed_params = None
            elif isinstance(weight, _Packed):
                module._packed_params = weight.parameters
            else:
                original(module, weight, bias)
                noted = waiting.pop(id(weight), None)
                if noted is not None:
                    key, reference, _ = noted
                    self._packed[key] = _Packed(
                        reference.weight_scale, reference.weight_zero_point, module._packed_params
                    )

        return set_weight_bias

    def _key(self, reference: Any) -> Hashable | None:
        """What decides a packed weight beside its grid; None for tensors that are not the model's own."""
        weight, bias = reference.weight, reference.bias
        held = self._tensors.get(weight.data_ptr())
        if held is None or held.shape != weight.shape or held.stride() != weight.stride():
            return None
        if bias is not None and bias.data_ptr() not in self._tensors:
            return None
        return (
            weight.data_ptr(),
            None if bias is None else bias.data_ptr(),
            type(reference),
            reference.weight_qscheme,
            reference.weight_dtype,
            *(getattr(reference, name, None) for name in _SHAPE),
        )
