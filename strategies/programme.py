"""The integer programme: one precision per unit, least cost, within a budget of divergence.

A unit's precision is a vector of 0/1 variables, as in the multiple-choice knapsack problem; an edge has a variable that
is 1 where its ends read and write different kinds of tensors. Only at most a few units are fractional in the linear
relaxation of such a programme, so a large one is solved in two steps: the relaxation, and an integer programme over
what it leaves open.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_matrix, csr_matrix

from autoq.strategies.layout import Floats, Indices, Layout, Mask
from autoq.strategies.regression import Coefficients

_EXACT = 60
"""Units up to which the programme is solved as a whole: it takes some 20 ms."""

_CORE = 24
"""Units that a large programme decides in integers, besides the fractional ones."""

_GAP = 1e-3
_NODES = 200
"""Nodes of branch and bound: a bound that, unlike seconds, gives the same plan on every machine."""


@dataclass(frozen=True)
class Solution:
    """A plan of least predicted cost: position of each unit, and what was predicted (without the intercepts)."""

    positions: Indices
    cost: float
    divergence: float


class Programme:
    """All plans of a space with their predicted cost and divergence.

    Args:
        layout: Of the space.
        cost: Effects on what is made small.
        divergence: Effects on what is limited.
        forbidden: Positions that must not be taken, ``[positions]``.
    """

    def __init__(self, layout: Layout, cost: Coefficients, divergence: Coefficients, forbidden: Mask) -> None:
        self._layout = layout
        units, outside = len(layout.ids), np.zeros(0, np.intp)
        inner = (layout.first < units) & (layout.second < units)
        self._first, self._second = layout.first[inner], layout.second[inner]
        # A conversion that seems to bring a gain is noise, and would make the relaxation unbounded in spirit.
        edge_cost, edge_loss = np.maximum(cost.boundaries, 0), np.maximum(divergence.boundaries, 0)
        self._edge_cost, self._edge_loss = edge_cost[inner], edge_loss[inner]
        self._cost, self._loss = cost.units.copy(), divergence.units.copy()
        outside = np.where(layout.first[~inner] < units, layout.first[~inner], layout.second[~inner])
        for unary, edges in ((self._cost, edge_cost[~inner]), (self._loss, edge_loss[~inner])):
            by_unit = np.bincount(outside, edges, minlength=units)[layout.unit]
            unary += np.where(layout.domain != 0, by_unit, 0.0)
        self._keep = _efficient(layout, self._cost, self._loss, forbidden)

    def solve(self, budget: float, tried: Sequence[Indices] = ()) -> Solution | None:
        """The cheapest plan within a budget.

        Args:
            budget: Largest divergence, without intercept; infinite for no limit.
            tried: Plans it must not be, position by unit; heeded in programmes of at most 60 units, where cutting
                them off leads to others.

        Returns:
            None when no plan fits.
        """
        keep = np.flatnonzero(self._keep)
        if len(self._layout.ids) <= _EXACT:
            return self._finish(self._run(keep, budget, tried, integers=True))
        relaxed = self._run(keep, budget, (), integers=False)
        if relaxed is None:
            return None
        shares = np.zeros(len(self._keep))
        shares[keep] = relaxed
        core = self._core(shares)
        chosen = _largest(self._layout, shares)
        fixed = np.zeros(len(self._keep), bool)
        fixed[chosen[~core]] = True
        left = np.flatnonzero(self._keep & (core[self._layout.unit] | fixed))
        found = self._run(left, budget, (), integers=True)
        if found is None:  # the budget is too tight for what the relaxation fixed
            return self._finish(self._run(keep, budget, (), integers=True))
        whole = np.zeros(len(self._keep))
        whole[left] = found
        return self._finish(whole[keep])

    def _finish(self, shares: Floats | None) -> Solution | None:
        if shares is None:
            return None
        every = np.zeros(len(self._keep))
        every[self._keep] = shares
        positions = _largest(self._layout, every)
        domains = self._layout.domain[positions]
        active = domains[self._first] != domains[self._second]
        return Solution(
            positions,
            float(self._cost[positions].sum() + self._edge_cost[active].sum()),
            float(self._loss[positions].sum() + self._edge_loss[active].sum()),
        )

    def _core(self, shares: Floats) -> Mask:
        """Units to decide in integers: the fractional ones, and those whose choice is nearest to a tie."""
        layout = self._layout
        fractional = np.zeros(len(layout.ids), bool)
        fractional[layout.unit[(shares > 1e-6) & (shares < 1 - 1e-6)]] = True
        taken = _largest(layout, shares)
        # At the exchange rate of a fractional unit, how much its second best would cost more.
        rate = self._rate(fractional)
        energy = np.where(self._keep, self._cost + rate * self._loss, np.inf)
        energy[taken] = np.inf
        second = np.minimum.reduceat(energy, layout.offsets[:-1])
        distance = np.abs(second - (self._cost + rate * self._loss)[taken])
        distance[~np.isfinite(distance)] = np.inf
        core = fractional.copy()
        core[np.argsort(distance, kind="stable")[:_CORE]] = True
        return core

    def _rate(self, fractional: Mask) -> float:
        """Cost per divergence of the units in question."""
        layout = self._layout
        rates = []
        for unit in np.flatnonzero(fractional).tolist():
            span = slice(int(layout.offsets[unit]), int(layout.offsets[unit + 1]))
            cost, loss = self._cost[span][self._keep[span]], self._loss[span][self._keep[span]]
            gap = float(loss.max() - loss.min())
            if gap > 0:
                rates.append(float(cost.max() - cost.min()) / gap)
        return float(np.median(rates)) if rates else 0.0

    def _run(self, keep: Indices, budget: float, tried: Sequence[Indices], *, integers: bool) -> Floats | None:
        """Solve over some positions; their values, or None."""
        from scipy.optimize import Bounds, LinearConstraint, milp

        count, edges = len(keep), len(self._first)
        scale = float(np.abs(self._cost[keep]).max(initial=0.0)) or 1.0
        objective = np.concatenate([self._cost[keep], self._edge_cost]) / scale
        matrix, low, high = self._constraints(keep, budget, tried)
        result = milp(
            objective,
            constraints=LinearConstraint(matrix, low, high),
            integrality=np.full(count + edges, int(integers)),
            bounds=Bounds(0, 1),
            options={"mip_rel_gap": _GAP, "node_limit": _NODES} if integers else {},
        )
        return None if result.x is None else np.asarray(result.x[:count], np.float64)

    def _constraints(self, keep: Indices, budget: float, tried: Sequence[Indices]) -> tuple[csr_matrix, Floats, Floats]:
        layout, count = self._layout, len(keep)
        units, edges = len(layout.ids), len(self._first)
        at = np.full(len(self._keep), -1)
        at[keep] = np.arange(count)
        rows, columns, values = [layout.unit[keep]], [np.arange(count)], [np.ones(count)]
        low, high = [np.ones(units)], [np.ones(units)]
        height = units
        for domain in np.unique(layout.domain[keep])[1:].tolist():
            inside = keep[layout.domain[keep] == domain]
            for sign in (1.0, -1.0):
                # sign (share of the domain at the first end − share at the second) − boundary ≤ 0
                for ends, factor in ((self._first, sign), (self._second, -sign)):
                    edge, position = _joined(ends, layout.unit[inside], inside)
                    rows.append(height + edge)
                    columns.append(at[position])
                    values.append(np.full(len(edge), factor))
                rows.append(height + np.arange(edges))
                columns.append(count + np.arange(edges))
                values.append(np.full(edges, -1.0))
                low.append(np.full(edges, -np.inf))
                high.append(np.zeros(edges))
                height += edges
        if np.isfinite(budget):
            size = max(abs(budget), 1e-12)
            rows.append(np.full(count + edges, height))
            columns.append(np.arange(count + edges))
            values.append(np.concatenate([self._loss[keep], self._edge_loss]) / size)
            low.append(np.full(1, -np.inf))
            high.append(np.full(1, budget / size))
            height += 1
        for plan in tried:
            column = at[plan]
            if (column < 0).any():
                continue  # it lies outside already
            rows.append(np.full(units, height))
            columns.append(column)
            values.append(np.ones(units))
            low.append(np.full(1, -np.inf))
            high.append(np.full(1, units - 1.0))
            height += 1
        entries = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
        matrix = coo_matrix(entries, shape=(height, count + edges)).tocsr()
        return matrix, np.concatenate(low), np.concatenate(high)


def _joined(ends: Indices, units: Indices, positions: Indices) -> tuple[Indices, Indices]:
    """Every pair of an edge and a position of the unit at its end; `units` is ascending."""
    start, stop = np.searchsorted(units, ends, "left"), np.searchsorted(units, ends, "right")
    counts = stop - start
    edge = np.repeat(np.arange(len(ends)), counts)
    within = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
    return edge, positions[np.repeat(start, counts) + within]


def _largest(layout: Layout, shares: Floats) -> Indices:
    """The position of each unit with the largest share, the first of equals."""
    top = np.maximum.reduceat(shares, layout.offsets[:-1])
    candidates = np.flatnonzero(shares >= top[layout.unit])
    units, first = np.unique(layout.unit[candidates], return_index=True)
    assert len(units) == len(layout.ids)
    return candidates[first]


def _efficient(layout: Layout, cost: Floats, loss: Floats, forbidden: Mask) -> Mask:
    """Positions that no other of the same unit and domain beats in both; of equals the first."""
    keep = ~forbidden
    widest = int(np.diff(layout.offsets).max(initial=0))
    for shift in range(1, widest):
        for a, b in ((slice(None, -shift), slice(shift, None)), (slice(shift, None), slice(None, -shift))):
            rival = (layout.unit[a] == layout.unit[b]) & (layout.domain[a] == layout.domain[b]) & ~forbidden[a]
            beaten = (cost[a] <= cost[b]) & (loss[a] <= loss[b])
            if a.start is not None:
                beaten &= (cost[a] < cost[b]) | (loss[a] < loss[b])
            keep[b] &= ~(rival & beaten)
    return keep
