"""From `OpPrecision` to the framework's observers."""

from __future__ import annotations

from typing import Any

import torch
from torch.ao.quantization import (
    MinMaxObserver,
    PerChannelMinMaxObserver,
    PlaceholderObserver,
    QConfig,
    float_qparams_weight_only_qconfig,
)

from autoq.calibration.grid import grid_limits
from autoq.core.errors import TrialError
from autoq.core.precision import DType, Granularity, Mode, Observer, OpPrecision, Scheme, TensorQuant

STORAGE = {DType.INT8: torch.qint8, DType.UINT8: torch.quint8}
"""Quantized tensor types of the eager and FX kernels."""


def qconfig_of(precision: OpPrecision) -> QConfig | None:
    """The configuration eager and FX quantization take; None for a float precision.

    Raises:
        TrialError: There are no such observers.
    """
    match precision.mode:
        case Mode.STATIC:
            assert precision.activation is not None
            weight = precision.weight or TensorQuant(DType.INT8)
            return QConfig(activation=activation_observer(precision.activation), weight=weight_observer(weight))
        case Mode.DYNAMIC:
            assert precision.weight is not None
            dynamic = PlaceholderObserver.with_args(dtype=torch.quint8, quant_min=0, quant_max=255, is_dynamic=True)
            return QConfig(activation=dynamic, weight=weight_observer(precision.weight))
        case Mode.WEIGHT_ONLY:
            return float_qparams_weight_only_qconfig
        case _:
            return None


def activation_observer(quant: TensorQuant) -> Any:
    """A MinMax observer class (with arguments bound) for an activation: whole range, never reduced.

    Args:
        quant: uint8 asymmetric or int8 symmetric, per tensor; its observer does not matter here.

    Raises:
        TrialError: Another granularity or type.
    """
    if quant.granularity is not Granularity.PER_TENSOR or quant.dtype not in STORAGE:
        raise TrialError(f"PyTorch quantizes activations per tensor to 8 bits, not {quant.label}")
    bottom, top = grid_limits(quant)
    symmetric = quant.scheme is Scheme.SYM
    return MinMaxObserver.with_args(
        dtype=STORAGE[quant.dtype],
        qscheme=torch.per_tensor_symmetric if symmetric else torch.per_tensor_affine,
        quant_min=bottom,
        quant_max=top,
    )


def weight_observer(quant: TensorQuant, *, axis: int = 0) -> Any:
    """The framework's own MinMax observer class (with arguments bound) for a weight.

    Args:
        quant: int8 symmetric, per tensor or per channel.
        axis: Channel axis.

    Raises:
        TrialError: Anything else.
    """
    if quant.dtype is not DType.INT8 or quant.scheme is not Scheme.SYM or quant.observer is not Observer.MINMAX:
        raise TrialError(f"PyTorch quantizes weights to int8, symmetric, by minmax, not {quant.label}")
    dtype = STORAGE[quant.dtype]
    if quant.granularity is Granularity.PER_CHANNEL:
        return PerChannelMinMaxObserver.with_args(
            dtype=dtype, qscheme=torch.per_channel_symmetric, quant_min=-128, quant_max=127, ch_axis=axis
        )
    if quant.granularity is Granularity.PER_TENSOR:
        return MinMaxObserver.with_args(dtype=dtype, qscheme=torch.per_tensor_symmetric, quant_min=-128, quant_max=127)
    raise TrialError(f"PyTorch quantizes weights per tensor or per channel, not {quant.label}")
