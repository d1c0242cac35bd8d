"""Around the best plan, op by op and region by region: what an additive model expects the most of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from autoq.core.capability import Recipe
from autoq.core.trial import TrialState
from autoq.strategies.layout import Indices, Layout
from autoq.strategies.model_search import ModelSearch
from autoq.strategies.neighbours import Neighbourhood
from autoq.strategies.points import Point, rank, under
from autoq.strategies.regions import blocks, by_type, halves, prefixes, suffixes
from autoq.strategies.sequential import Steps

_GAIN = 0.001
"""Share of the cost that a plan must be expected to improve, its chance to keep the limit included."""

_REGIONS = 64


@dataclass
class Refinement:
    """Tries the plan with the largest expected improvement until none is worth a trial.

    Args:
        search: Whose models and points are used.
        patience: Trials in a row that may bring nothing faster.

    Attributes:
        tried: Trials so far.
    """

    search: ModelSearch
    patience: int
    tried: int = 0

    def of(self, recipes: tuple[Recipe, ...], best: Point | None, gain: float = _GAIN) -> Steps[Point | None]:
        """The best accepted plan under some recipes.

        Args:
            recipes: Which plans.
            best: The best accepted so far.
            gain: Expected improvement, as a share of the cost, that is worth a trial.
        """
        search = self.search
        model, idle = search.model(recipes), 0
        regions = _regions(search, model.layout)
        while idle < self.patience and not search.too_many_culprits:
            tried_here = search.points.get(recipes, {})
            start = best or min(tried_here.values(), key=lambda p: rank(p.trial))
            bar = best.cost if best is not None else 1.0
            around = Neighbourhood(model, search.forbidden, regions)
            origin = model.layout.encode(start.choices).positions
            found = around.best(origin, bar, search.budget(model), set(tried_here))
            if found is None or found.improvement < gain * bar:
                break
            self.tried += 1
            changed = int((found.positions != origin).sum())
            ops = "1 op" if changed == 1 else f"{changed} ops"
            note = f"refinement {self.tried}: {ops} changed{under(recipes)}"
            point = yield from search.attempt(model.layout.choices(found.positions), note, recipes)
            idle += 1
            if point.trial.state is not TrialState.COMPLETE:
                yield from search.isolate(point)
                continue
            faster = yield from search.confirm([point], best)
            if faster is not None:
                best, idle = faster, 0
        return best


def _regions(search: ModelSearch, layout: Layout) -> list[Indices]:
    index = {unit: i for i, unit in enumerate(layout.ids)}
    units = search.quantized
    coarse = [r for r in halves(units) if len(r.units) > 1]
    every = [*prefixes(units), *suffixes(units), *by_type(units), *coarse, *blocks(units)]
    return [np.array(sorted(index[u] for u in r.units), np.intp) for r in every[:_REGIONS]]
