"""Plans around a plan that an additive model thinks better: regions, and any number of units at one exchange rate."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from autoq.strategies.additive import AdditiveModel, Prediction
from autoq.strategies.layout import Floats, Indices, Layout, Mask

_BUDGETS = (0.7, 0.85, 0.95, 1.0, 1.05, 1.2)
"""Shares of the divergence that seems allowed, at which exchange rates are sought."""

_SWEEPS = 4
_HALVINGS = 40
_LOOKED_AT = 12
"""Plans whose chance to keep the limit is computed, of those with the least predicted cost."""


@dataclass(frozen=True)
class Neighbour:
    """A plan that may be better: its positions, what is expected of it, and the expected improvement of the cost."""

    positions: Indices
    expected: Prediction
    improvement: float


class Neighbourhood:
    """The plans that are reached from a plan by changing what gains most at one exchange rate of cost and divergence.

    The least of ``cost + rate x divergence`` is found unit by unit, conversions at boundaries counted, in a few
    sweeps from the plan; then only the so many units that gain most are changed: all, half, a quarter, and at last
    one. Regions change as a whole, to float and to the precision that gains most.

    Args:
        model: What units and boundaries cost and lose.
        forbidden: Positions that must not be taken, ``[positions]``.
        regions: Units of each region, by index.
    """

    def __init__(self, model: AdditiveModel, forbidden: Mask, regions: Sequence[Indices]) -> None:
        self._model, self._layout, self._regions = model, model.layout, regions
        cost, loss = model.cost, model.divergence
        # No precision is free of error: what noise made negative would be taken for a gain.
        self._cost = np.where(forbidden, np.inf, cost.units)
        self._loss = np.maximum(loss.units, 0.0)
        self._edge_cost, self._edge_loss = np.maximum(cost.boundaries, 0.0), np.maximum(loss.boundaries, 0.0)

    def best(self, start: Indices, bar: float, budget: float, known: set[bytes]) -> Neighbour | None:
        """The plan with the largest expected improvement.

        Args:
            start: The plan to start from.
            bar: Cost to improve on.
            budget: Divergence up to which the limit seems to hold.
            known: Plans that were tried, as bytes of their positions.
        """
        cost, loss = self._model.cost, self._model.divergence
        found: dict[bytes, tuple[float, Indices]] = {}
        for positions in self._reached(start, budget):
            key = positions.tobytes()
            if key in known or key in found:
                continue
            row = self._layout.row(positions)
            predicted = 1 + cost.of(row)
            if predicted < bar and loss.of(row) < 2 * budget:
                found[key] = (predicted, positions)
        promising = sorted(found.values(), key=lambda item: item[0])
        step = max(1, len(promising) // _LOOKED_AT)
        looked = [self._judged(positions, bar) for _, positions in promising[::step]]
        return max(looked, key=lambda n: n.improvement, default=None)

    def _judged(self, positions: Indices, bar: float) -> Neighbour:
        """Expected improvement under the constraint (Gardner et al., 2014): of the cost, times the chance to hold."""
        expected = self._model.predict(self._layout.choices(positions))
        gain, spread = bar - expected.cost, max(expected.cost_sd, 1e-9)
        z = gain / spread
        below = 0.5 * math.erfc(-z / math.sqrt(2))
        density = math.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)
        return Neighbour(positions, expected, (gain * below + spread * density) * expected.kept)

    def _reached(self, start: Indices, budget: float) -> Iterator[Indices]:
        for share in _BUDGETS:
            rate = self._rate(share * budget)
            energy = self._cost + rate * self._loss
            aim = self._settled(start, energy, rate)
            yield from self._part_way(start, aim, energy)
        rate = self._rate(budget)
        energy = self._cost + rate * self._loss
        cheapest = _cheapest(self._layout, energy)
        floats = start.copy()
        floats[self._layout.unit[self._layout.reference]] = np.flatnonzero(self._layout.reference)
        for region in self._regions:
            for target in (cheapest, floats):
                moved = start.copy()
                moved[region] = target[region]
                yield moved

    def _part_way(self, start: Indices, aim: Indices, energy: Floats) -> Iterator[Indices]:
        changed = np.flatnonzero(aim != start)
        gains = energy[start[changed]] - energy[aim[changed]]
        ranked = changed[np.argsort(-gains, kind="stable")]
        count = len(ranked)
        while count:
            moved = start.copy()
            moved[ranked[:count]] = aim[ranked[:count]]
            yield moved
            count //= 2

    def _rate(self, budget: float) -> float:
        """Cost per divergence at which the cheapest plan just uses up a budget, conversions left out."""
        low, high = -30.0, 30.0
        for _ in range(_HALVINGS):
            middle = 0.5 * (low + high)
            chosen = _cheapest(self._layout, self._cost + math.exp(middle) * self._loss)
            if float(self._loss[chosen].sum()) > budget:
                low = middle
            else:
                high = middle
        return math.exp(high)

    def _settled(self, start: Indices, energy: Floats, rate: float) -> Indices:
        """Each unit at its least energy given its neighbours, every other unit at a time, in a few sweeps."""
        layout, units = self._layout, len(self._layout.ids)
        weight = self._edge_cost + rate * self._edge_loss
        positions = start.copy()
        parity = np.arange(units) % 2
        for sweep in range(2 * _SWEEPS):
            domains = np.append(layout.domain[positions], 0)
            penalty = np.zeros((units + 1, int(layout.domain.max(initial=0)) + 1))
            for ends, others in ((layout.first, layout.second), (layout.second, layout.first)):
                for domain in range(penalty.shape[1]):
                    penalty[:, domain] += np.bincount(ends, weight * (domains[others] != domain), units + 1)
            chosen = _cheapest(layout, energy + penalty[layout.unit, layout.domain])
            mine = parity == sweep % 2
            positions[mine] = chosen[mine]
        return positions


def _cheapest(layout: Layout, energy: Floats) -> Indices:
    """The position of each unit with the least energy, the first of equals."""
    least = np.minimum.reduceat(energy, layout.offsets[:-1])
    candidates = np.flatnonzero(energy <= least[layout.unit])
    _, first = np.unique(layout.unit[candidates], return_index=True)
    return candidates[first]
