"""A multiple-choice knapsack with boundaries, by branch and bound over relaxations solved with HiGHS (SciPy)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.sparse import coo_matrix, csr_matrix

from autoq.strategies.layout import Floats, Indices, Mask

_GAP = 1e-3
"""Share of the cost by which a branch must promise to be better than the best plan found."""

_WHOLE = 1 - 1e-6

_SEEKING = 10
"""By how much more relaxations may be solved while no choice that fits was found."""


@dataclass(frozen=True)
class Problem:
    """One position for each unit, least cost, loss within a budget.

    Attributes:
        units: Number of units.
        unit: Unit of each position, ascending, ``[positions]``.
        domain: Domain of each position.
        cost, loss: Of each position.
        first, second: Units at the ends of each edge, ``[edges]``.
        edge_cost, edge_loss: What an edge adds whose ends differ in domain; not negative.
    """

    units: int
    unit: Indices
    domain: Indices
    cost: Floats
    loss: Floats
    first: Indices
    second: Indices
    edge_cost: Floats
    edge_loss: Floats

    @cached_property
    def starts(self) -> Indices:
        """First position of each unit."""
        return np.searchsorted(self.unit, np.arange(self.units))

    def largest(self, shares: Floats) -> Indices:
        """The position of each unit with the largest share, the first of equals."""
        top = np.maximum.reduceat(shares, self.starts)
        candidates = np.flatnonzero(shares >= top[self.unit])
        _, first = np.unique(self.unit[candidates], return_index=True)
        return candidates[first]

    def value(self, positions: Indices) -> tuple[float, float]:
        """Cost and loss of a choice."""
        domains = self.domain[positions]
        active = domains[self.first] != domains[self.second]
        cost = float(self.cost[positions].sum() + self.edge_cost[active].sum())
        return cost, float(self.loss[positions].sum() + self.edge_loss[active].sum())

    def bound(self, shares: Floats) -> float:
        """Cost of a relaxed choice: an edge counts by how much its ends differ, in the domain where they do most."""
        differing = np.zeros(len(self.first))
        for domain in range(1, int(self.domain.max(initial=0)) + 1):
            inside = np.bincount(self.unit, np.where(self.domain == domain, shares, 0.0), minlength=self.units)
            differing = np.maximum(differing, np.abs(inside[self.first] - inside[self.second]))
        return float(self.cost @ shares + self.edge_cost @ differing)

    def reduced(self, keep: Indices, free: Mask, chosen: Indices) -> tuple[Problem, float, float]:
        """The problem of some units while the others are fixed.

        Args:
            keep: Positions of the free units that are left, ascending.
            free: Which units are free, ``[units]``.
            chosen: Position of each unit; that of a free one is not used.

        Returns:
            The problem over `keep`, and cost and loss of all that is fixed.
        """
        number = np.cumsum(free) - 1
        cost, loss = self.cost.copy(), self.loss.copy()
        fixed_cost, fixed_loss = float(cost[chosen[~free]].sum()), float(loss[chosen[~free]].sum())
        a, b = free[self.first], free[self.second]
        domains = self.domain[chosen]
        still = ~a & ~b & (domains[self.first] != domains[self.second])
        fixed_cost, fixed_loss = fixed_cost + self.edge_cost[still].sum(), fixed_loss + self.edge_loss[still].sum()
        for half, inner, outer in ((a & ~b, self.first, self.second), (b & ~a, self.second, self.first)):
            # Each position of the free end pays for the edge where it differs from the fixed end.
            edge, position = joined(inner[half], self.unit[keep], keep)
            differs = self.domain[position] != domains[outer[half][edge]]
            np.add.at(cost, position[differs], self.edge_cost[half][edge[differs]])
            np.add.at(loss, position[differs], self.edge_loss[half][edge[differs]])
        both = a & b
        problem = Problem(
            int(free.sum()),
            number[self.unit[keep]],
            self.domain[keep],
            cost[keep],
            loss[keep],
            number[self.first[both]],
            number[self.second[both]],
            self.edge_cost[both],
            self.edge_loss[both],
        )
        return problem, float(fixed_cost), float(fixed_loss)


@dataclass(frozen=True, eq=False)
class _Leaf:
    """A part of the tree that was not relaxed yet: what its parent promises, and the positions that are left."""

    bound: float
    depth: int
    mask: Mask


def joined(ends: Indices, units: Indices, positions: Indices) -> tuple[Indices, Indices]:
    """Every pair of an edge and a position of the unit at its end; `units` is ascending."""
    start, stop = np.searchsorted(units, ends, "left"), np.searchsorted(units, ends, "right")
    counts = stop - start
    edge = np.repeat(np.arange(len(ends)), counts)
    within = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
    return edge, positions[np.repeat(start, counts) + within]


def relax(problem: Problem, mask: Mask, budget: float, cuts: Sequence[Indices] = ()) -> Floats | None:
    """The linear relaxation over some positions.

    Args:
        problem: What to solve.
        mask: Positions that may be taken.
        budget: Largest loss; may be infinite.
        cuts: Choices that must not be taken, position by unit.

    Returns:
        The share of each position, or None when nothing fits.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp

    keep = np.flatnonzero(mask)
    count, edges = len(keep), len(problem.first)
    scale = float(np.abs(problem.cost[keep]).max(initial=0.0)) or 1.0
    matrix, low, high = _constraints(problem, keep, budget, cuts)
    # Branching is done here: the integer solver of some HiGHS versions prints to the output of the process.
    result = milp(
        np.concatenate([problem.cost[keep], problem.edge_cost]) / scale,
        constraints=LinearConstraint(matrix, low, high),
        integrality=np.zeros(count + edges, np.int64),
        bounds=Bounds(0, 1),
    )
    if result.x is None:
        return None
    shares = np.zeros(len(mask))
    shares[keep] = result.x[:count]
    return shares


def branch(problem: Problem, budget: float, cuts: Sequence[Indices], nodes: int) -> Indices | None:
    """The best choice found by branch and bound.

    Args:
        problem: What to solve.
        budget: Largest loss; may be infinite.
        cuts: Choices that must not be taken, position by unit.
        nodes: Relaxations at most, once there is a choice that fits, and ten times as many before: a bound that,
            unlike seconds, gives the same choice on every machine.

    Returns:
        Position by unit, or None when none fits or none was found.
    """
    best: Indices | None = None
    least = np.inf
    leaves = [_Leaf(-np.inf, 0, np.ones(len(problem.unit), bool))]
    for count in itertools.count():
        if best is not None:
            leaves = [leaf for leaf in leaves if leaf.bound < least - _GAP * abs(least)]
        if not leaves or count >= (nodes if best is not None else _SEEKING * nodes):
            break
        # First down to some choice that fits, then wherever most is promised; of equals the one added last.
        leaf = min(reversed(leaves), key=lambda x: x.bound if best is not None else -x.depth)
        leaves.remove(leaf)
        shares = relax(problem, leaf.mask, budget, cuts)
        if shares is None:
            continue
        rounded = problem.largest(shares)
        cost, loss = problem.value(rounded)
        fits = loss <= budget + 1e-9 * abs(budget) and not any(np.array_equal(rounded, cut) for cut in cuts)
        if fits and cost < least:
            best, least = rounded, cost
        top = shares[rounded]
        unit = int(np.argmin(top))
        if top[unit] > _WHOLE:
            continue
        bound = problem.bound(shares)
        others = leaf.mask.copy()
        others[rounded[unit]] = False
        only = leaf.mask & (problem.unit != unit)
        only[rounded[unit]] = True
        leaves += [_Leaf(bound, leaf.depth + 1, others), _Leaf(bound, leaf.depth + 1, only)]
    return best


def _constraints(
    problem: Problem, keep: Indices, budget: float, cuts: Sequence[Indices]
) -> tuple[csr_matrix, Floats, Floats]:
    """Rows: one position by unit, edges by domain and direction, the budget, the cuts."""
    count, edges = len(keep), len(problem.first)
    at = np.full(len(problem.unit), -1)
    at[keep] = np.arange(count)
    rows, columns, values = [problem.unit[keep]], [np.arange(count)], [np.ones(count)]
    low, high = [np.ones(problem.units)], [np.ones(problem.units)]
    height = problem.units
    for domain in np.unique(problem.domain[keep])[1:].tolist() if edges else ():
        inside = keep[problem.domain[keep] == domain]
        for sign in (1.0, -1.0):
            # sign · (share of the domain at the first end − share at the second) − boundary ≤ 0
            for ends, factor in ((problem.first, sign), (problem.second, -sign)):
                edge, position = joined(ends, problem.unit[inside], inside)
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
        scale = float(np.abs(problem.loss[keep]).max(initial=0.0)) or 1.0
        rows.append(np.full(count + edges, height))
        columns.append(np.arange(count + edges))
        values.append(np.concatenate([problem.loss[keep], problem.edge_loss]) / scale)
        low.append(np.full(1, -np.inf))
        high.append(np.full(1, budget / scale))
        height += 1
    for cut in cuts:
        column = at[cut]
        if (column < 0).any():
            continue  # it lies outside already
        rows.append(np.full(problem.units, height))
        columns.append(column)
        values.append(np.ones(problem.units))
        low.append(np.full(1, -np.inf))
        high.append(np.full(1, problem.units - 1.0))
        height += 1
    entries = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
    matrix = coo_matrix(entries, shape=(height, count + edges)).tocsr()
    return matrix, np.concatenate(low), np.concatenate(high)
