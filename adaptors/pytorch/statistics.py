"""Our own streaming statistics in the place of the framework's observers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from autoq.calibration.histogram import TensorCollector
from autoq.calibration.io import content_digest
from autoq.calibration.thresholds import activation_range
from autoq.core.errors import TrialError
from autoq.core.precision import TensorQuant
from autoq.core.statistics import Calibration, Needs, TensorStatistics


class Collecting(nn.Module):  # type: ignore[misc]
    """Passes a tensor through and takes its values in; takes an observer's place in a model.

    Args:
        collector: Where values go. Several modules may feed one.
    """

    def __init__(self, collector: TensorCollector) -> None:
        super().__init__()
        self._collector = collector

    def forward(self, x: Any) -> Any:
        """The input, unchanged."""
        take_in(self._collector, x)
        return x

    def __deepcopy__(self, memo: dict[int, object]) -> Collecting:
        # A copy of the model feeds the same statistics.
        return Collecting(self._collector)


def take_in(collector: TensorCollector, x: Any) -> None:
    """Give a tensor's values to a collector; what is no float tensor is passed over."""
    if isinstance(x, Tensor) and x.is_floating_point():
        collector.update(x.detach().to(torch.float32).contiguous().numpy())


def collectors_for(needs: Needs) -> dict[str, TensorCollector]:
    """One collector per needed tensor."""
    return {name: TensorCollector(name, histogram=needs.histogram) for name in needs.tensors}


def statistics_of(collectors: Mapping[str, TensorCollector]) -> dict[str, TensorStatistics]:
    """What was collected, by name; tensors that were never seen are left out."""
    found = {name: collector.statistics() for name, collector in collectors.items()}
    return {name: statistics for name, statistics in found.items() if statistics.elements}


def calibration_of(collectors: Mapping[str, TensorCollector], samples: int, fingerprint: str) -> Calibration:
    """The calibration of a model, addressed by its content."""
    tensors = statistics_of(collectors)
    return Calibration(tensors, samples, content_digest(fingerprint, tensors))


def range_of(calibration: Calibration | None, tensor: str, quant: TensorQuant) -> tuple[float, float]:
    """The range of a tensor that a trial covers.

    Raises:
        TrialError: Calibration did not see the tensor.
    """
    if calibration is None or tensor not in calibration.tensors:
        raise TrialError(
            "static quantization needs calibration, and this tensor was not seen",
            where=tensor,
            hint="check that the calibration data run through this op",
        )
    return activation_range(calibration.tensors[tensor], quant)


def filled_observer(observer: nn.Module, calibration: Calibration | None, tensor: str, quant: TensorQuant) -> nn.Module:
    """Fill a MinMax observer with the range of a tensor, as if it had seen the calibration data.

    Returns:
        The observer.

    Raises:
        TrialError: Calibration did not see the tensor.
    """
    low, high = range_of(calibration, tensor, quant)
    for name, value in (("min_val", low), ("max_val", high)):
        getattr(observer, name).resize_([]).fill_(value)
    return observer


def unfilled(observers: Iterable[tuple[str, nn.Module]]) -> list[str]:
    """Names of observers that never got a range."""
    return [
        name
        for name, observer in observers
        if isinstance(getattr(observer, "min_val", None), Tensor)
        and (observer.min_val.numel() == 0 or not bool(torch.isfinite(observer.min_val).all()))
    ]
