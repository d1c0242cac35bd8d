"""Int8 transposed convolutions: their kernel mixes up the weights unless as many channels go out as come in."""

from __future__ import annotations

import copy
from typing import Any, TypeVar

import torch
import torch.ao.nn.quantized as quantized
from torch import Tensor, nn

_KERNELS: dict[type[nn.Module], Any] = {
    nn.ConvTranspose1d: quantized.ConvTranspose1d,
    nn.ConvTranspose2d: quantized.ConvTranspose2d,
    nn.ConvTranspose3d: quantized.ConvTranspose3d,
}

TRANSPOSED = tuple(_KERNELS)
"""The float modules."""

M = TypeVar("M", bound=nn.Module)

_LARGEST_SIDE = 9
_STEPS = 3
"""Outputs this many steps of the grid apart are another result, not another rounding."""


def widened(module: M) -> M:
    """A transposed convolution that gives as many channels as it takes; the added ones are zero.

    Returns:
        The module itself where it gives at least as many.
    """
    float_module: Any = module
    missing = float_module.in_channels // float_module.groups - float_module.weight.shape[1]
    if missing <= 0 or float_module.groups != 1:
        return module
    wide: Any = copy.copy(float_module)
    wide._parameters = dict(float_module._parameters)
    wide.out_channels = float_module.in_channels
    weight = float_module.weight.detach()
    added = torch.zeros((weight.shape[0], missing, *weight.shape[2:]))
    wide.weight = nn.Parameter(torch.cat([weight, added], dim=1), requires_grad=False)
    if float_module.bias is not None:
        wide.bias = nn.Parameter(torch.cat([float_module.bias.detach(), torch.zeros(missing)]), requires_grad=False)
    result: M = wide
    return result


def kernel_fault(module: nn.Module, shape: tuple[int, ...]) -> str:
    """Run the int8 kernel of a transposed convolution beside the float one, on random input.

    Call it with the engine set that will run the model.

    Args:
        module: A float transposed convolution; stays as it is.
        shape: Shape of its input, batch first; large images are cut down.

    Returns:
        What is wrong, for the capability table; empty when the kernel is right.
    """
    sides = tuple(min(side, _LARGEST_SIDE) for side in shape[2:])
    generator = torch.Generator().manual_seed(0)
    x = torch.quantize_per_tensor(
        torch.rand((1, shape[1], *sides), generator=generator) - 0.25, 1 / 255, 64, torch.quint8
    )
    weight = _eight_bits(module.weight.detach())
    reference = _float(module, x.dequantize(), weight.dequantize())
    low, high = min(0.0, float(reference.min())), max(0.0, float(reference.max()))
    scale = max((high - low) / 255, 1e-6)
    try:
        found = _int8(module, x, weight, scale, round(-low / scale))
    except RuntimeError as error:
        return f"the int8 kernel refuses it: {str(error).splitlines()[0]}"
    if float((found - reference).abs().max()) > _STEPS * scale:
        return "kept in float: the int8 kernel computes something else for this shape on this machine"
    return ""


def _eight_bits(weight: Tensor) -> Tensor:
    scale = max(float(weight.abs().max()) / 127, 1e-9)
    return torch.quantize_per_tensor(weight, scale, 0, torch.qint8)


def _float(module: Any, x: Tensor, weight: Tensor) -> Tensor:
    functions = (nn.functional.conv_transpose1d, nn.functional.conv_transpose2d, nn.functional.conv_transpose3d)
    function = functions[weight.ndim - 3]
    result: Tensor = function(
        x, weight, module.bias, module.stride, module.padding, module.output_padding, module.groups, module.dilation
    )
    return result


def _int8(module: Any, x: Tensor, weight: Tensor, scale: float, zero_point: int) -> Tensor:
    kernel = _KERNELS[type(module)](
        module.in_channels,
        module.out_channels,
        module.kernel_size,
        stride=module.stride,
        padding=module.padding,
        output_padding=module.output_padding,
        groups=module.groups,
        bias=module.bias is not None,
        dilation=module.dilation,
    )
    kernel.set_weight_bias(weight, module.bias.detach() if module.bias is not None else None)
    kernel.scale, kernel.zero_point = scale, zero_point
    result: Tensor = kernel(x).dequantize()
    return result
