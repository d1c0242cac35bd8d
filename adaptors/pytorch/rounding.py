"""Tensors on the grids the routes quantize to, in float: what simulations compute with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.ao.quantization import MinMaxObserver, float_qparams_weight_only_qconfig

from autoq.adaptors.pytorch.qconfig import activation_observer, weight_observer
from autoq.adaptors.pytorch.statistics import filled_observer
from autoq.core.precision import DType, TensorQuant
from autoq.core.statistics import Calibration

Rounding = Callable[[Tensor], Tensor]
"""A float tensor, quantized and dequantized."""


def rounded_weight(weight: Tensor, quant: TensorQuant) -> Tensor:
    """A weight on the grid of the framework's own observer; scales per channel run along its first axis.

    Args:
        weight: Float, of any shape; stays as it is.
        quant: int8 symmetric, or uint8 for the rows of an embedding.

    Raises:
        TrialError: PyTorch has no such weights.
    """
    rows = quant.dtype is DType.UINT8
    observer: Any = float_qparams_weight_only_qconfig.weight() if rows else weight_observer(quant)()
    values = weight.detach()
    observer(values)
    scale, zero_point = observer.calculate_qparams()
    if scale.numel() == 1 and not rows:
        return torch.quantize_per_tensor(values, float(scale), int(zero_point), observer.dtype).dequantize()
    return torch.quantize_per_channel(values, scale, zero_point, 0, observer.dtype).dequantize()


def static_rounding(calibration: Calibration | None, tensor: str, quant: TensorQuant) -> Rounding:
    """The fixed grid of an activation.

    Raises:
        TrialError: Calibration did not see the tensor, or PyTorch has no such activations.
    """
    observer: Any = filled_observer(activation_observer(quant)(), calibration, tensor, quant)
    scale, zero_point = observer.calculate_qparams()
    grid = float(scale), int(zero_point), int(observer.quant_min), int(observer.quant_max)
    return lambda x: torch.fake_quantize_per_tensor_affine(x, *grid)


def dynamic_rounding(x: Tensor, top: int = 255) -> Tensor:
    """A tensor on a uint8 grid over its own range, as kernels choose it that find ranges as they run.

    Args:
        x: Float.
        top: The grid's last step. The framework's own dynamic modules use half of uint8: 127.
    """
    observer: Any = MinMaxObserver(dtype=torch.quint8, quant_min=0, quant_max=top)
    observer(x)
    scale, zero_point = observer.calculate_qparams()
    return torch.fake_quantize_per_tensor_affine(x, float(scale), int(zero_point), 0, top)
