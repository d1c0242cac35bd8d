"""Plans by a few numbers: cut points in an order of the units, and stretches of the network that stay in float.

A cut in the order of sensitivity per saved second parts the units that bear a fast precision from those that need a
more careful one; where the effects of precisions are alike for all units, the best plan is of this form (it is the
solution of the relaxed multiple-choice knapsack problem). Prefix, suffix and stretch are the regions in execution order
that lose accuracy at their boundaries when single units of them change.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from autoq.strategies.layout import Floats, Indices, Layout
from autoq.strategies.points import CLEARLY, Point
from autoq.strategies.regression import Coefficients
from autoq.strategies.sampler import Choice, Range, Values

_LEVELS = 3
"""Quantized precisions on the ladder, at most: each is a cut point to search."""

_GRID = 41
_REGION = 0.5
"""Largest share of the network that a prefix, suffix or stretch is searched up to."""

RECIPES = "recipes"


def ladder_of(points: Sequence[Point]) -> list[Mapping[str, int]]:
    """Choices of the uniform plans worth cutting between: each slower than the one before, and clearly closer to fp32.

    Args:
        points: The uniform plans that were tried. Where several are about as fast, the one nearest to fp32 counts.
    """
    usable = sorted((p for p in points if np.isfinite(p.cost) and np.isfinite(p.trial.excess)), key=lambda p: p.cost)
    ladder: list[Point] = []
    for point in usable:
        if ladder and _loss(point) >= _loss(ladder[-1]):
            continue
        if ladder and point.cost * CLEARLY < ladder[-1].cost:
            ladder[-1] = point  # no slower, but for noise
        else:
            ladder.append(point)
    if len(ladder) > _LEVELS:
        ladder = [ladder[round(i * (len(ladder) - 1) / (_LEVELS - 1))] for i in range(_LEVELS)]
    return [p.choices for p in ladder] or [p.choices for p in points[:1]]


def _loss(point: Point) -> float:
    return point.trial.divergence if point.trial.divergence is not None else point.trial.excess


@dataclass(frozen=True)
class CutPoints:
    """How a few numbers become a plan.

    Attributes:
        layout: Of the space.
        levels: Position of every unit at each level, fastest first, float last, ``[levels, units]``.
        order: Units from the one that loses least per saved second, ``[units]``.
        recipe_sets: How many sets of recipes there are.
    """

    layout: Layout
    levels: Indices
    order: Indices
    recipe_sets: int

    @classmethod
    def of(
        cls, layout: Layout, ladder: Sequence[Mapping[str, int]], order: Sequence[str], recipe_sets: int
    ) -> CutPoints:
        """From the choices of uniform plans, fastest first, and unit ids in the order of the cuts."""
        levels = [layout.encode(choices).positions for choices in ladder]
        floats = levels[-1].copy()  # a unit that must not be float stays as careful as it can be
        floats[layout.unit[layout.reference]] = np.flatnonzero(layout.reference)
        index = {unit: i for i, unit in enumerate(layout.ids)}
        return cls(layout, np.stack([*levels, floats]), np.array([index[u] for u in order], np.intp), recipe_sets)

    @property
    def parameters(self) -> Mapping[str, Choice | Range]:
        """What a sampler chooses: shares of the units at which levels change, and shares of the network in float.

        A region's share lies as often below zero, which means there is none.
        """
        cuts: dict[str, Choice | Range] = {f"cut {i}": Range(0.0, 1.0) for i in range(self._cuts)}
        regions = {name: Range(-_REGION, _REGION) for name in ("first", "last", "stretch")}
        found = cuts | regions | {"stretch from": Range(0.0, 1.0)}
        return found | {RECIPES: Choice(self.recipe_sets)} if self.recipe_sets > 1 else found

    def positions(self, values: Values) -> Indices:
        """Position of every unit, ``[units]``."""
        count = len(self.order)
        cuts = np.sort([round(values[f"cut {i}"] * count) for i in range(self._cuts)])
        level = np.empty(count, np.intp)
        level[self.order] = np.searchsorted(cuts, np.arange(count), "right")
        first, last, stretch = (round(max(values[name], 0.0) * count) for name in ("first", "last", "stretch"))
        start = round(values["stretch from"] * count)
        level[:first] = self._cuts
        level[count - last :] = self._cuts
        level[start : start + stretch] = self._cuts
        return self.levels[level, np.arange(count)]

    def values(self, cuts: Sequence[float], *, first: float = -1.0, last: float = -1.0, recipes: int = 0) -> Values:
        """The parameters of cuts, with a prefix or suffix in float."""
        found: dict[str, int | float] = {f"cut {i}": cut for i, cut in enumerate(sorted(cuts))}
        for name, share in (("first", first), ("last", last), ("stretch", -1.0)):
            found[name] = min(max(share, -_REGION), _REGION)
        found["stretch from"] = 0.5
        return found | {RECIPES: recipes} if self.recipe_sets > 1 else found

    def at_level(self, level: int, recipes: int = 0) -> Values:
        """All units at one level."""
        return self.values([0.0 if i < level else 1.0 for i in range(self._cuts)], recipes=recipes)

    def predicted(self, cost: Coefficients, divergence: Coefficients, budget: float) -> Values | None:
        """The cuts of least predicted cost within a budget of divergence, conversions left out; None when none are.

        Every combination of cuts on a grid, from running sums over the order.
        """
        count = len(self.order)
        grid = np.unique(np.linspace(0, count, _GRID).round().astype(np.intp))
        combinations = np.array(list(itertools.combinations_with_replacement(range(len(grid)), self._cuts)), np.intp)
        total_cost, total_loss = (self._sums(c, grid, combinations) for c in (cost, divergence))
        total_cost[total_loss > budget] = np.inf
        best = int(np.argmin(total_cost))
        if not np.isfinite(total_cost[best]):
            return None
        return self.values([float(grid[i]) / count for i in combinations[best]])

    @property
    def _cuts(self) -> int:
        return len(self.levels) - 1

    def _sums(self, effects: Coefficients, grid: Indices, combinations: Indices) -> Floats:
        """Sum of the units' effects for each combination of cuts, ``[combinations]``."""
        by_level = effects.units[self.levels[:, self.order]]
        running = np.concatenate([np.zeros((len(by_level), 1)), np.cumsum(by_level, axis=1)], axis=1)[:, grid]
        edges = [np.zeros(len(combinations), np.intp), *combinations.T, np.full(len(combinations), len(grid) - 1)]
        total = np.zeros(len(combinations))
        for level, (a, b) in enumerate(itertools.pairwise(edges)):
            total += running[level, b] - running[level, a]
        return total
