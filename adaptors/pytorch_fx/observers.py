"""Observers that know which quantization they stand for, and their ranges from statistics collected once."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.ao.quantization import MinMaxObserver, PlaceholderObserver, QConfig

from autoq.adaptors.pytorch.qconfig import qconfig_of
from autoq.calibration.histogram import bin_exponent, bin_number
from autoq.calibration.thresholds import activation_range
from autoq.core.errors import TrialError
from autoq.core.precision import Mode, OpPrecision, Scheme, TensorQuant
from autoq.core.statistics import TensorStatistics


class PlannedObserver(MinMaxObserver):  # type: ignore[misc]
    """The framework's observer of the smallest and largest value, with the quantization a plan asks for.

    Args:
        quant: uint8 asymmetric, or int8 symmetric; the latter is stored as uint8 around 128, since the kernels take
            nothing else.
    """

    def __init__(self, quant: TensorQuant) -> None:
        symmetric = quant.scheme is Scheme.SYM
        super().__init__(
            dtype=torch.quint8,
            qscheme=torch.per_tensor_symmetric if symmetric else torch.per_tensor_affine,
            quant_min=0,
            quant_max=255,
        )
        self.quant = quant

    def calculate_qparams(self) -> tuple[Tensor, Tensor]:
        """Scale and zero point; the framework's own symmetric grid of unsigned integers has a step more on one side."""
        if self.quant.scheme is not Scheme.SYM:
            found: tuple[Tensor, Tensor] = super().calculate_qparams()
            return found
        scale = torch.maximum(torch.maximum(-self.min_val, self.max_val) / 127, self.eps)
        return scale.reshape(1), torch.full((1,), 128, dtype=torch.int64)

    def fill(self, statistics: TensorStatistics) -> None:
        """Take a range over as if it had been observed."""
        low, high = activation_range(statistics, self.quant)
        self.min_val.resize_([]).fill_(low)
        self.max_val.resize_([]).fill_(high)


def planned_qconfig(precision: OpPrecision) -> QConfig | None:
    """How the framework is told of a precision; None for float.

    Raises:
        TrialError: The framework cannot do it.
    """
    found = qconfig_of(precision)
    if found is None or precision.mode is not Mode.STATIC:
        return found
    return QConfig(activation=PlannedObserver.with_args(quant=precision.activation), weight=found.weight)


def is_dynamic(observer: Any) -> bool:
    """Whether it stands for ranges found at run time."""
    return isinstance(observer, PlaceholderObserver)


def merged(statistics: Iterable[TensorStatistics]) -> TensorStatistics:
    """What one collector would have seen of several tensors.

    Raises:
        TrialError: There are none.
    """
    parts = [s for s in statistics if s.elements]
    if not parts:
        raise TrialError("calibration saw no value of this tensor")
    if len(parts) == 1:
        return parts[0]
    low, high = min(p.minimum for p in parts), max(p.maximum for p in parts)
    elements = sum(p.elements for p in parts)
    if not all(p.counts.size for p in parts):
        return TensorStatistics(low, high, np.zeros(0, np.int64), low, high, elements)
    exponent = bin_exponent(low, high)
    first = bin_number(low, exponent)
    counts = np.zeros(bin_number(high, exponent) - first + 1, np.int64)
    for part in parts:
        # Widths are powers of two and edges their multiples: each narrow bin lies inside one wide bin.
        width = (part.high - part.low) / part.counts.size
        own = round(math.log2(width))
        numbers = np.arange(part.counts.size, dtype=np.int64) + round(math.ldexp(part.low, -own))
        np.add.at(counts, (numbers >> (exponent - own)) - first, part.counts)
    return TensorStatistics(
        low, high, counts, math.ldexp(first, exponent), math.ldexp(first + counts.size, exponent), elements
    )
