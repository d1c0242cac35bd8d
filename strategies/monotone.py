"""From the divergence of a plan to its excess: a monotone fit over the trials so far."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def isotonic(values: Floats, weights: Floats) -> Floats:
    """Nearest non-decreasing sequence in weighted least squares, by pooling adjacent violators.

    Source: Barlow, Bartholomew, Bremner & Brunk, "Statistical Inference under Order Restrictions" (1972).

    Args:
        values: ``[n]``.
        weights: Positive, ``[n]``.
    """
    means: list[float] = []
    masses: list[float] = []
    counts: list[int] = []
    for value, weight in zip(values.tolist(), weights.tolist(), strict=True):
        means.append(value)
        masses.append(weight)
        counts.append(1)
        while len(means) > 1 and means[-2] >= means[-1]:
            mass = masses[-2] + masses[-1]
            means[-2] = (means[-2] * masses[-2] + means[-1] * masses[-1]) / mass
            masses[-2] = mass
            counts[-2] += counts[-1]
            del means[-1], masses[-1], counts[-1]
    return np.repeat(np.array(means), counts)


class MonotoneLink:
    """Excess as a non-decreasing function of divergence.

    Through the measured points an isotonic fit, linear in between; from zero divergence, where nothing is lost, and
    beyond the last point it is the straight line through both. Excess is known coarsely (a metric on few samples moves
    in steps), so a point counts by how exactly it is known.

    Args:
        floor: Excess at zero divergence: that of fp32.
    """

    def __init__(self, floor: float = -1.0) -> None:
        self.floor = floor
        self.spread = 0.25 * max(-floor, 0.1)
        self._x: Floats = np.zeros(1)
        self._y: Floats = np.full(1, floor)

    def fit(self, divergence: Sequence[float], excess: Sequence[float], doubt: Sequence[float]) -> None:
        """Fit again from all points.

        Args:
            divergence: Of each point, finite.
            excess: Of each point, finite.
            doubt: Standard deviation of each excess, positive.
        """
        x, y, sd = (np.asarray(v, np.float64) for v in (divergence, excess, doubt))
        order = np.lexsort((y, x))
        x, y, weights = x[order], np.maximum(y[order], self.floor), 1 / np.maximum(sd[order], 1e-3) ** 2
        if not len(x):
            return
        fitted = isotonic(y, weights)
        levels, starts = np.unique(fitted, return_index=True)
        sums = np.add.reduceat(weights, starts)
        centres = np.add.reduceat(weights * x, starts) / sums
        self._x = np.concatenate([[0.0], centres])
        self._y = np.concatenate([[self.floor], levels])
        # Only what lies about the limit tells how far excess strays from the curve where it matters.
        near = np.abs(y) < 2.0
        prior, count = (0.25 * max(-self.floor, 0.1)) ** 2, 2.0
        strayed = float(((y - fitted)[near] ** 2).sum())
        self.spread = math.sqrt((count * prior + strayed) / (count + 2 * float(near.sum())))

    def excess(self, divergence: float) -> float:
        """The expected excess at a divergence."""
        if divergence <= self._x[-1]:
            return float(np.interp(divergence, self._x, self._y))
        if self._x[-1] <= 0:
            return self.floor
        return float(self.floor + (self._y[-1] - self.floor) * divergence / self._x[-1])

    def slope(self, divergence: float) -> float:
        """Change of excess per divergence, near one."""
        step = max(0.05 * divergence, 1e-12)
        return max(self.excess(divergence + step) - self.excess(divergence - step), 0.0) / (2 * step)

    @property
    def limit(self) -> float:
        """The divergence at which the excess is zero; infinite when nothing measured loses anything."""
        above = np.flatnonzero(self._y > 0)
        if len(above):
            i = int(above[0])
            if i == 0:
                return 0.0
            share = -self._y[i - 1] / (self._y[i] - self._y[i - 1])
            return float(self._x[i - 1] + share * (self._x[i] - self._x[i - 1]))
        if self._y[-1] <= self.floor or self._x[-1] <= 0:
            return math.inf
        return float(self._x[-1] * -self.floor / (self._y[-1] - self.floor))
