"""What takes a module's place in a quantized model: float in, float out."""

from __future__ import annotations

from typing import Any, Optional, cast

import torch
from torch import Tensor, nn

STORAGE = torch.quint8
"""Type of quantized activations: the one oneDNN's convolutions take."""


class QuantizedLeaf(nn.Module):  # type: ignore[misc]
    """Holds a quantized module; looks like the float one to code that asks for its settings.

    Args:
        quantized: The framework's quantized module.
    """

    __jit_unused_properties__ = ("weight", "bias")

    def __init__(self, quantized: nn.Module) -> None:
        super().__init__()
        self.quantized = quantized

    @property
    def weight(self) -> Tensor:
        """The weight that is computed with, in float: for code that looks at its dtype or shape."""
        held = cast("Any", self.quantized).weight
        return cast("Tensor", (held() if callable(held) else held).detach().dequantize())

    @property
    def bias(self) -> Any:
        """The bias; a flag for recurrent modules, as in their float form."""
        held = cast("Any", self.quantized).bias
        return held() if callable(held) else held

    def flatten_parameters(self) -> None:
        """Packed weights lie in one piece already."""

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            held = self.__dict__.get("_modules", {}).get("quantized")
            if held is None or name.startswith("_"):
                raise
            return getattr(held, name)


class StaticLeaf(QuantizedLeaf):
    """A statically quantized module between a conversion to 8 bits and one back.

    Args:
        quantized: A module that takes and gives quantized tensors.
        scale: Of the input.
        zero_point: Of the input.
        outputs: Channels of the float module, where the quantized one has more; None otherwise.
        dense: Hand results out in the default memory layout.
        takes_quantized: The input comes quantized already, with this very scale and zero point.
        gives_quantized: Everyone who takes the output takes it quantized.
    """

    def __init__(
        self,
        quantized: nn.Module,
        scale: float,
        zero_point: int,
        *,
        outputs: int | None = None,
        dense: bool = False,
        takes_quantized: bool = False,
        gives_quantized: bool = False,
    ) -> None:
        super().__init__(quantized)
        self.scale = scale
        self.zero_point = zero_point
        self.outputs = outputs  # without an annotation: TorchScript does not know one in quotes
        self.dense = dense
        self.takes_quantized = takes_quantized
        self.gives_quantized = gives_quantized

    def forward(self, x: Tensor) -> Tensor:
        """What the float module computes, in 8 bits."""
        if not self.takes_quantized:
            x = torch.quantize_per_tensor(x, self.scale, self.zero_point, torch.quint8)
        y: Tensor = self.quantized(x)
        if self.outputs is not None:
            y = y[:, : self.outputs]
        if self.gives_quantized:
            return y
        y = y.dequantize()
        return y.contiguous() if self.dense else y

    def extra_repr(self) -> str:
        """Scale and zero point of the input."""
        return f"scale={self.scale}, zero_point={self.zero_point}"


class DynamicLeaf(QuantizedLeaf):
    """A Linear with quantized weights that finds the range of its input as it runs.

    Args:
        quantized: The framework's module.
        activation: What follows it, in float; None when nothing was fused.
    """

    def __init__(self, quantized: nn.Module, activation: nn.Module | None = None) -> None:
        super().__init__(quantized)
        self.activation = activation

    def forward(self, input: Tensor) -> Tensor:
        """What the float module computes."""
        y: Tensor = self.quantized(input)
        if self.activation is not None:
            y = self.activation(y)
        return y


class LstmLeaf(QuantizedLeaf):
    """An LSTM with quantized weights."""

    def forward(
        self,
        input: Tensor,
        hx: Optional[tuple[Tensor, Tensor]] = None,  # noqa: UP045
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """What the float module computes; packed sequences too, outside of TorchScript."""
        result: tuple[Tensor, tuple[Tensor, Tensor]] = self.quantized(input, hx)
        return result


class GruLeaf(QuantizedLeaf):
    """A GRU with quantized weights."""

    def forward(
        self,
        input: Tensor,
        hx: Optional[Tensor] = None,  # noqa: UP045
    ) -> tuple[Tensor, Tensor]:
        """What the float module computes; packed sequences too, outside of TorchScript."""
        result: tuple[Tensor, Tensor] = self.quantized(input, hx)
        return result


class EmbeddingLeaf(QuantizedLeaf):
    """An embedding with 8-bit rows, for indices of any rank."""

    def forward(self, indices: Tensor) -> Tensor:
        """Rows of the table."""
        rows: Tensor = self.quantized(indices.reshape(-1))
        return rows.reshape(indices.shape + rows.shape[-1:])


class Bf16Leaf(nn.Module):  # type: ignore[misc]
    """A module in bfloat16 inside a float32 model.

    Args:
        module: The module, in bfloat16 already.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        """What the module computes, to three digits."""
        y: Tensor = self.module(x.to(torch.bfloat16))
        return y.to(torch.float32)

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            held = self.__dict__.get("_modules", {}).get("module")
            if held is None or name.startswith("_"):
                raise
            return getattr(held, name)
