"""The 8-bit grid of activations, from statistics that were collected once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from autoq.calibration.thresholds import activation_range, scale_zero_point
from autoq.core.errors import TrialError
from autoq.core.precision import DType, Scheme, TensorQuant
from autoq.core.statistics import Calibration, TensorStatistics

_ASYMMETRIC = TensorQuant(DType.UINT8, Scheme.ASYM)
_SYMMETRIC = TensorQuant(DType.INT8, Scheme.SYM)

MIDDLE = 128
"""Zero point of unsigned bytes that hold the values of signed ones."""


@dataclass(frozen=True, slots=True)
class Grid:
    """The grid of one stored tensor: ``real = scale * (stored - zero_point)``.

    oneDNN's kernels know no zero points: they take an unsigned tensor for ``real + scale * zero_point``, and whoever
    reads or writes it corrects for that in its bias.

    Attributes:
        signed: Stored as signed bytes, ``[-127, 127]``, zero point 0.
        scale: Positive.
        zero_point: What is stored for zero; 0 where all values are positive.
    """

    signed: bool
    scale: float
    zero_point: int = 0

    @property
    def kind(self) -> str:
        """TensorFlow's name of the type."""
        return "qint8" if self.signed else "quint8"

    @property
    def offset(self) -> float:
        """What a kernel sees in excess of the real value."""
        return self.scale * self.zero_point

    @property
    def span(self) -> tuple[float, float]:
        """The range a kernel has to be told, which lies around the stored values and not the real ones."""
        return (-127.0 * self.scale, 127.0 * self.scale) if self.signed else (0.0, 255.0 * self.scale)

    @property
    def real(self) -> tuple[float, float]:
        """The range of real values."""
        low, high = self.span
        return low - self.offset, high - self.offset

    @property
    def unsigned(self) -> Grid:
        """The same values in unsigned bytes, zero in the middle."""
        return replace(self, signed=False, zero_point=MIDDLE) if self.signed else self

    def stored(self, value: float) -> int:
        """The nearest grid point of a real value."""
        low, high = (-127, 127) if self.signed else (0, 255)
        return int(min(max(round(value / self.scale) + self.zero_point, low), high))


class Ranges:
    """Grids, each derived once from the statistics of the tensors that share it.

    The statistics come with a `Calibration`, whoever made it: a pass over samples, or the ranges a model was trained
    with.
    """

    def __init__(self, calibration: Calibration | None, memo: dict[object, Grid]):
        self._calibration = calibration
        self._memo = memo

    def grid(self, sources: Sequence[tuple[str, TensorQuant]], *, centred: bool) -> Grid:
        """One grid for several tensors that are stored alike.

        Args:
            sources: The tensors and how the range of each is chosen; only the observer is used.
            centred: Zero has to be stored as zero, so a range with negative values becomes signed.

        Raises:
            TrialError: There are no statistics of a tensor.
        """
        if self._calibration is None:
            raise TrialError("a plan with static ops needs calibration data, and there are none", where=sources[0][0])
        key = (self._calibration.digest, tuple(sources), centred)
        if key not in self._memo:
            self._memo[key] = self._derive(sources, centred)
        return self._memo[key]

    def _derive(self, sources: Sequence[tuple[str, TensorQuant]], centred: bool) -> Grid:
        ranges = [self._range(tensor, replace(_ASYMMETRIC, observer=quant.observer)) for tensor, quant in sources]
        low, high = min(r[0] for r in ranges), max(r[1] for r in ranges)
        if low < 0.0 and centred:
            ranges = [self._range(tensor, replace(_SYMMETRIC, observer=quant.observer)) for tensor, quant in sources]
            high = max(r[1] for r in ranges)
            return Grid(True, float(scale_zero_point(-high, high, _SYMMETRIC)[0]))
        scale, zero_point = scale_zero_point(low, high, _ASYMMETRIC)
        return Grid(False, float(scale), zero_point)

    def _range(self, tensor: str, quant: TensorQuant) -> tuple[float, float]:
        assert self._calibration is not None
        tensors: Mapping[str, TensorStatistics] = self._calibration.tensors
        if tensor not in tensors:
            raise TrialError(
                "the calibration has no statistics of this tensor",
                where=tensor,
                hint="calibrate again: the cached statistics belong to another search space",
            )
        return activation_range(tensors[tensor], quant)
