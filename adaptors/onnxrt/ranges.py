"""Scale and zero point of activations, from statistics that were collected once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autoq.adaptors.onnxrt.fusion import Clip
from autoq.calibration.thresholds import activation_range, scale_zero_point
from autoq.core.errors import TrialError
from autoq.core.precision import DType, Scheme, TensorQuant
from autoq.core.statistics import Calibration

# Constants that element-wise ops read: their values are known, so the range is exact.
CONSTANT = TensorQuant(DType.UINT8, Scheme.ASYM)


@dataclass(frozen=True, slots=True)
class Grid:
    """The uint8 grid of one tensor: ``real = scale * (stored - zero_point)``."""

    scale: np.float32
    zero_point: int

    def quantize(self, values: NDArray[np.float32]) -> NDArray[np.uint8]:
        """The nearest grid points."""
        steps: NDArray[np.float32] = np.rint(values / self.scale) + self.zero_point
        return np.clip(steps, 0, 255).astype(np.uint8)

    def covers(self, value: float) -> bool:
        """Whether a value lies on the grid, up to rounding."""
        return abs(float(self.scale) * (self.stored(value) - self.zero_point) - value) <= 0.51 * float(self.scale)

    def stored(self, value: float) -> int:
        """The nearest grid point of one value, infinities included."""
        return int(np.clip(np.rint(np.clip(value / float(self.scale), -1e6, 1e6)) + self.zero_point, 0, 255))


# Softmax: the one grid ONNX Runtime's quantized kernel is made for; on a finer one it overflows, and turns the
# largest values into zeros.
PROBABILITIES = Grid(np.float32(1 / 256), 0)


class Ranges:
    """Grids by tensor and quantization, each derived once."""

    def __init__(self, calibration: Calibration | None, memo: dict[tuple[str, str, TensorQuant, Clip | None], Grid]):
        self._calibration = calibration
        self._memo = memo

    def grid(self, tensor: str, quant: TensorQuant, clip: Clip | None = None) -> Grid:
        """Grid of an activation; with `clip` it also does the work of that activation function.

        Raises:
            TrialError: There are no statistics of this tensor.
        """
        if self._calibration is None:
            raise TrialError("a plan with static ops needs calibration data, and there are none", where=tensor)
        key = (self._calibration.digest, tensor, quant, clip)
        if key not in self._memo:
            tensors: Mapping[str, object] = self._calibration.tensors
            if tensor not in tensors:
                raise TrialError(
                    "the calibration has no statistics of this tensor",
                    where=tensor,
                    hint="calibrate again: the cached statistics belong to another search space",
                )
            low, high = activation_range(self._calibration.tensors[tensor], quant)
            if clip is not None:
                low, high = max(low, clip[0]), min(high, clip[1])
            self._memo[key] = Grid(*scale_zero_point(low, high, quant))
        return self._memo[key]


def constant_grid(values: NDArray[np.float32]) -> Grid:
    """Grid of a constant."""
    low, high = min(0.0, float(values.min())), max(0.0, float(values.max()))
    return Grid(*scale_zero_point(low, high, CONSTANT))
