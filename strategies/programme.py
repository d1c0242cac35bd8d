"""The integer programme: one precision per unit, least cost, within a budget of divergence.

A unit's precision is a vector of 0/1 variables, as in the multiple-choice knapsack problem; an edge has a variable that
is 1 where its ends read and write different kinds of tensors. Only a few units are fractional in the linear relaxation
of such a programme, so a large one is solved in two steps: the relaxation, and branch and bound over the units that it
leaves open or nearly so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from autoq.strategies.branch_and_bound import Problem, branch, relax
from autoq.strategies.layout import Floats, Indices, Layout, Mask
from autoq.strategies.regression import Coefficients

_CORE = 20
"""Units that a large programme decides by branch and bound, besides the fractional ones."""

_NODES = 30
"""Relaxations in a programme of no more units than that."""

_FEW_NODES = 4
"""Relaxations over the core of a larger one, where what is left to gain is far below what the model is wrong by."""


@dataclass(frozen=True)
class Solution:
    """A plan of least predicted cost: position of each unit, and what was predicted (without the intercepts)."""

    positions: Indices
    cost: float
    loss: float


class Programme:
    """All plans of a space with what is predicted to be made small, and what is limited.

    Args:
        layout: Of the space.
        cost: Effects on what is made small.
        loss: Effects on what is limited.
        forbidden: Positions that must not be taken, ``[positions]``.
    """

    def __init__(self, layout: Layout, cost: Coefficients, loss: Coefficients, forbidden: Mask) -> None:
        units = len(layout.ids)
        inner = (layout.first < units) & (layout.second < units)
        outer = np.where(layout.first < units, layout.first, layout.second)[~inner]
        unary: list[Floats] = []
        edges: list[Floats] = []
        for effects in (cost, loss):
            # A conversion that seems to bring a gain is noise.
            conversions = np.maximum(effects.boundaries, 0.0)
            by_unit = np.bincount(outer, conversions[~inner], minlength=units)[layout.unit]
            unary.append(effects.units + np.where(layout.domain != 0, by_unit, 0.0))
            edges.append(conversions[inner])
        self._keep = np.flatnonzero(_efficient(layout, unary[0], unary[1], forbidden))
        self.problem = Problem(
            units,
            layout.unit[self._keep],
            layout.domain[self._keep],
            unary[0][self._keep],
            unary[1][self._keep],
            layout.first[inner],
            layout.second[inner],
            *edges,
        )

    def solve(self, budget: float, tried: Sequence[Indices] = ()) -> Solution | None:
        """The cheapest plan within a budget.

        Args:
            budget: Largest loss, without intercept; infinite for no limit.
            tried: Plans it must not be, position by unit; heeded where all units are decided by branch and bound (up
                to 20 of them), where there is a next best plan that differs in more than a trifle.

        Returns:
            None when no plan fits, or none was found.
        """
        problem = self.problem
        if problem.units <= _CORE:
            at = np.searchsorted(self._keep, np.array(tried, np.intp).reshape(-1, problem.units))
            at = np.minimum(at, len(self._keep) - 1)
            reachable = [a for a, plan in zip(at, tried, strict=True) if (self._keep[a] == plan).all()]
            chosen = branch(problem, budget, reachable, _NODES)
        else:
            chosen = self._solve_large(budget)
        if chosen is None:
            return None
        return Solution(self._keep[chosen], *problem.value(chosen))

    def _solve_large(self, budget: float) -> Indices | None:
        problem = self.problem
        shares = relax(problem, np.ones(len(problem.unit), bool), budget)
        if shares is None:
            return None
        chosen, free = problem.largest(shares), self._core(shares)
        left = np.flatnonzero(free[problem.unit])
        core, _, spent = problem.reduced(left, free, chosen)
        found = branch(core, budget - spent, (), _FEW_NODES)
        if found is None:
            return None
        chosen[free] = left[found]
        return chosen

    def _core(self, shares: Floats) -> Mask:
        """Units to decide by branch and bound: the fractional ones, and those whose choice is nearest to a tie."""
        problem = self.problem
        core = np.zeros(problem.units, bool)
        core[problem.unit[(shares > 1e-6) & (shares < 1 - 1e-6)]] = True
        taken = problem.largest(shares)
        # At the exchange rate of the fractional units, how much more the second best of each unit would cost.
        energy = problem.cost + self._rate(core) * problem.loss
        first = energy[taken]
        energy[taken] = np.inf
        distance = np.abs(np.minimum.reduceat(energy, problem.starts) - first)
        core[np.argsort(distance, kind="stable")[:_CORE]] = True
        return core

    def _rate(self, fractional: Mask) -> float:
        """Cost per loss of the units in question."""
        problem = self.problem
        rates: list[float] = []
        for unit in np.flatnonzero(fractional).tolist():
            span = problem.unit == unit
            cost, loss = problem.cost[span], problem.loss[span]
            gap = float(loss.max() - loss.min())
            if gap > 0:
                rates.append(float(cost.max() - cost.min()) / gap)
        return float(np.median(rates)) if rates else 0.0


def _efficient(layout: Layout, cost: Floats, loss: Floats, forbidden: Mask) -> Mask:
    """Positions that no other of the same unit and domain beats in both; of equals the first."""
    keep = ~forbidden
    widest = int(np.diff(layout.offsets).max(initial=0))
    for shift in range(1, widest):
        early, late = slice(None, -shift), slice(shift, None)
        same = (layout.unit[early] == layout.unit[late]) & (layout.domain[early] == layout.domain[late])
        no_worse = (cost[early] <= cost[late]) & (loss[early] <= loss[late])
        beaten = (cost[late] <= cost[early]) & (loss[late] <= loss[early]) & ~no_worse
        keep[late] &= ~(same & no_worse & ~forbidden[early])
        keep[early] &= ~(same & beaten & ~forbidden[late])
    return keep
