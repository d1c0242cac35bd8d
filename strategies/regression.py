"""Regression of what a plan costs or loses on its units and boundaries, towards a prior.

With far more units than trials, what is learned must be shared: the prior as a whole may be off by a factor, so may one
precision or op type of it, and then each unit and boundary by itself. All of it is one Gaussian linear model, solved in
the space of trials (Rasmussen & Williams, "Gaussian Processes for Machine Learning" (2006), eq. 2.11 and 2.12), so
that the time does not depend on how many effects there are but linearly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from autoq.strategies.layout import Floats, Layout, Row

_ALL_SD = 0.5
_PALETTE_SD = 0.4
_TYPE_SD = 0.3
_UNIT_SD = 0.5
_SHARED = 0.7
"""Share of a unit's own variance that all its precisions have in common."""

_LEAST = 0.1
"""Of the mean effect, below which no unit is taken to be known to lie."""


@dataclass(frozen=True)
class Prior:
    """What is believed before a trial.

    Attributes:
        units: Effect of each position, ``[positions]``; zero at references.
        boundary: Effect of an edge that is a boundary.
        boundary_doubt: Standard deviation of that, of all boundaries together and, half of it, of each.
        intercept: Standard deviation of a constant, in units of the whole effect; zero where fp32 is the zero point.
    """

    units: Floats
    boundary: float
    boundary_doubt: float
    intercept: float = 0.0


@dataclass(frozen=True)
class Coefficients:
    """Effects after a fit.

    Attributes:
        units: Effect of each position, ``[positions]``.
        boundaries: Effect of each edge that is a boundary, ``[edges]``.
        intercept: The constant.
    """

    units: Floats
    boundaries: Floats
    intercept: float = 0.0

    def of(self, row: Row) -> float:
        """Sum over a row."""
        return float(self.intercept + self.units[row.positions].sum() + self.boundaries[row.boundaries].sum())


def between(a: Coefficients, b: Coefficients, share: float) -> Coefficients:
    """Effects on the way from `a` to `b`."""
    return Coefficients(
        (1 - share) * a.units + share * b.units,
        (1 - share) * a.boundaries + share * b.boundaries,
        (1 - share) * a.intercept + share * b.intercept,
    )


class Regression:
    """Effects of units and boundaries on one quantity.

    Args:
        layout: Of the space.
        prior: What is believed before a trial.
    """

    def __init__(self, layout: Layout, prior: Prior) -> None:
        self._layout, self.prior = layout, prior
        self.scale = 1.0
        whole = float(np.abs(prior.units[layout.offsets[:-1]]).sum()) or 1.0
        typical = whole / max(len(layout.ids), 1)
        spread = _UNIT_SD * (np.abs(prior.units) + _LEAST * typical)
        self._unit_sd: Floats = np.where(layout.reference, 0.0, spread)
        self._own: Floats = (1 - _SHARED) * self._unit_sd**2
        self._edge_var = (0.5 * prior.boundary_doubt) ** 2
        kinds = int(layout.types.max(initial=0)) + 1
        self._variances: Floats = np.concatenate(
            [
                [(prior.intercept * whole) ** 2, _ALL_SD**2, prior.boundary_doubt**2],
                np.full(len(layout.precisions), _PALETTE_SD**2),
                np.full(kinds, _TYPE_SD**2),
            ]
        )
        self._rows: list[Row] = []
        self._shared: list[Floats] = []
        self._positions = np.zeros((0, len(layout.ids)), np.intp)
        self._unit: Floats = np.zeros((0, len(layout.ids)))
        self._active: NDArray[np.float32] = np.zeros((0, len(layout.first)), np.float32)
        self._gram: Floats = np.zeros((0, 0))
        self._means: Floats = np.zeros(0)
        self._used: NDArray[np.intp] = np.zeros(0, np.intp)
        self._values: Floats = np.zeros(0)
        self._doubts: Floats = np.zeros(0)
        self._factor: tuple[Floats, bool] | None = None
        self.coefficients = self._unlearned()

    def mean(self, row: Row) -> float:
        """What the prior alone says of a row, unscaled."""
        return float(self.prior.units[row.positions].sum() + self.prior.boundary * row.boundaries.sum())

    def add(self, row: Row) -> None:
        """Another row that may be used in fits."""
        against = self._against(row)
        shared = self._shared_of(row)
        unit = self._unit_sd[row.positions]
        n = len(self._rows)
        gram = np.empty((n + 1, n + 1))
        gram[:n, :n] = self._gram
        gram[n, :n] = gram[:n, n] = against
        gram[n, n] = self._variance(row, shared, unit)
        self._gram = gram
        self._means = np.append(self._means, self.mean(row))
        self._rows.append(row)
        self._shared.append(shared)
        self._positions = np.vstack([self._positions, row.positions])
        self._unit = np.vstack([self._unit, unit])
        self._active = np.vstack([self._active, row.boundaries.astype(np.float32)])

    def fit(self, used: NDArray[np.intp], values: Floats, doubts: Floats, scale: float) -> None:
        """Fit the effects.

        Args:
            used: Which rows, ``[n]``.
            values: Measured values of these rows, ``[n]``.
            doubts: Their standard deviations, positive, ``[n]``.
            scale: What the prior is multiplied by.
        """
        self.scale, self._used = scale, used
        if not len(used):
            self._factor = None
            self.coefficients = self._unlearned()
            return
        gram = self._gram[np.ix_(used, used)] + np.diag((doubts / scale) ** 2 + 1e-12)
        self._factor = cho_factor(gram, lower=True)
        self._values, self._doubts = values / scale, doubts / scale
        duals = cho_solve(self._factor, self._values - self._means[used])
        self.coefficients = self._corrected(duals)

    def sample(self, random: np.random.Generator) -> Coefficients:
        """Effects drawn from what is still possible after the fit (Thompson sampling).

        A draw from the prior is corrected by what it misses of the measured values, as the prior itself is in `fit`
        (Matheron's rule: Wilson et al., "Pathwise conditioning of Gaussian processes" (2021), eq. 11).
        """
        layout = self._layout
        shared = random.standard_normal(len(self._variances)) * np.sqrt(self._variances)
        by_unit = random.standard_normal(len(layout.ids)) * np.sqrt(_SHARED)
        own = random.standard_normal(len(self._own)) * np.sqrt(self._own)
        edges = random.standard_normal(len(layout.first)) * np.sqrt(self._edge_var)
        drawn = self._combined(shared, by_unit[layout.unit] * self._unit_sd + own, edges)
        if self._factor is None:
            return drawn
        seen = np.array([drawn.of(self._rows[i]) for i in self._used]) / self.scale
        noise = random.standard_normal(len(self._used)) * self._doubts
        corrected = self._corrected(cho_solve(self._factor, self._values - seen - noise))
        return Coefficients(
            drawn.units + corrected.units - self.scale * self.prior.units,
            drawn.boundaries + corrected.boundaries - self.scale * self.prior.boundary,
            drawn.intercept + corrected.intercept,
        )

    def _corrected(self, duals: Floats) -> Coefficients:
        """The prior, corrected by a combination of the rows used."""
        layout, used = self._layout, self._used
        shared = self._variances * (duals @ np.stack([self._shared[i] for i in used]))
        by_unit = _SHARED * (duals @ self._unit[used])
        weights = np.repeat(duals, len(layout.ids))
        own = np.bincount(self._positions[used].ravel(), weights, minlength=len(layout.palette))
        edges = self._edge_var * (duals @ self._active[used])
        return self._combined(shared, self._unit_sd * by_unit[layout.unit] + self._own * own, edges)

    def _combined(self, shared: Floats, units: Floats, edges: Floats) -> Coefficients:
        """The prior with shared factors and what is a unit's or a boundary's own."""
        layout, prior, scale = self._layout, self.prior, self.scale
        kinds = len(layout.precisions)
        factors = 1 + shared[1] + shared[3 : 3 + kinds][layout.palette] + shared[3 + kinds :][layout.types[layout.unit]]
        boundaries = prior.boundary + shared[2] + edges
        return Coefficients(scale * (prior.units * factors + units), scale * boundaries, float(scale * shared[0]))

    def evidence(self, used: NDArray[np.intp], values: Floats, doubts: Floats, scale: float) -> float:
        """Logarithm of the likelihood of measured values under these doubts, but for a constant.

        Source: Rasmussen & Williams (2006), eq. 2.30. Arguments as in `fit`.
        """
        if not len(used):
            return 0.0
        gram = self._gram[np.ix_(used, used)] + np.diag((doubts / scale) ** 2 + 1e-12)
        lower, _ = factor = cho_factor(gram, lower=True)
        residuals = values / scale - self._means[used]
        return float(-0.5 * residuals @ cho_solve(factor, residuals) - np.log(np.diag(lower)).sum())

    def doubt(self, row: Row) -> float:
        """Standard deviation of what `coefficients` say of a row."""
        variance = self._variance(row, self._shared_of(row), self._unit_sd[row.positions])
        if self._factor is not None:
            against = self._against(row)[self._used]
            variance -= float(against @ cho_solve(self._factor, against))
        return self.scale * float(np.sqrt(max(variance, 0.0)))

    def _unlearned(self) -> Coefficients:
        boundaries = np.full(len(self._layout.first), self.prior.boundary)
        return Coefficients(self.scale * self.prior.units, self.scale * boundaries)

    def _variance(self, row: Row, shared: Floats, unit: Floats) -> float:
        """Of a row before any trial."""
        variance = float((self._variances * shared**2).sum() + _SHARED * (unit**2).sum())
        return variance + float(self._own[row.positions].sum() + self._edge_var * row.boundaries.sum())

    def _against(self, row: Row) -> Floats:
        """Covariance of a row with every row added, ``[rows]``."""
        if not self._rows:
            return np.zeros(0)
        shared = np.stack(self._shared) @ (self._variances * self._shared_of(row))
        units = _SHARED * (self._unit @ self._unit_sd[row.positions])
        own = (self._positions == row.positions) @ self._own[row.positions]
        edges = self._edge_var * (self._active @ row.boundaries.astype(np.float32))
        return np.asarray(shared + units + own + edges, np.float64)

    def _shared_of(self, row: Row) -> Floats:
        """Constant, whole prior, boundaries, prior by precision, prior by op type."""
        layout, effects = self._layout, self.prior.units[row.positions]
        kinds = int(layout.types.max(initial=0)) + 1
        return np.concatenate(
            [
                [1.0, effects.sum(), float(row.boundaries.sum())],
                np.bincount(layout.palette[row.positions], effects, minlength=len(layout.precisions)),
                np.bincount(layout.types, effects, minlength=kinds),
            ]
        )
