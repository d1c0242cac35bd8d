"""Bayesian search in two phases: Optuna over cut points, then expected improvement op by op around the best."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from autoq.core.errors import ConfigError
from autoq.core.space import Space
from autoq.core.strategy import Costs
from autoq.core.trial import Trial, TrialState
from autoq.strategies.cut_points import RECIPES, CutPoints, ladder_of
from autoq.strategies.layout import Indices
from autoq.strategies.model_search import ModelSearch
from autoq.strategies.points import Point, rank, under
from autoq.strategies.refinement import Refinement
from autoq.strategies.sampler import Sampler, Values
from autoq.strategies.sequential import Search, Steps
from autoq.strategies.styles import uniform_plans

_GAIN = 0.0005
"""Share of the cost that a plan must be expected to improve, its chance to keep the limit included."""

_AIMED = (1.0, 0.7, 1.3)
"""Shares of the divergence that seems allowed, for which the first cut points are computed."""

_PREFIXES = (1 / 6, 1 / 3)
_SUFFIX = 1 / 6
_STALE = 4
"""Suggestions of known plans in a row after which the cut points count as exhausted."""


class Bayesian(ModelSearch):
    """Two phases of Bayesian optimization, because a plain one over hundreds of ops is near random.

    1. Units are ranked by sensitivity per saved second. The uniform plans that are tried first form a ladder from
       the fastest precision to float. Optuna's TPE searches the cut points between them in that order, a prefix, a
       suffix and a stretch of the network in float, and the recipes; some eight numbers, whatever the model's size.
    2. Around the best plan, precisions change op by op and region by region. A linear Gaussian model of what units
       and boundaries lose and cost, corrected by every trial, names the plan with the largest expected improvement
       under the limit, until none is worth a trial.

    Where sensitivities are not available, the order is that of the costs alone, and trials teach the rest. When a
    trial fails, the unit that breaks it is found by halving and left in float.

    Args:
        space: What may be chosen.
        costs: Seconds by op.
        seed: Of Optuna's sampler.
        screen: Samples of a screening; by default a third of all, at least 64, where trials do not stop by themselves.
        cut_trials: Trials of the first phase, besides the uniform plans.
        patience: Trials of the second phase in a row that may bring nothing faster.

    Raises:
        ConfigError: `screen` or `patience` is below 1, or `cut_trials` below 0.
    """

    def __init__(
        self,
        space: Space,
        costs: Costs,
        seed: int,
        *,
        screen: int | None = None,
        cut_trials: int = 20,
        patience: int = 16,
    ) -> None:
        super().__init__(space, costs, seed, screen=screen)
        if cut_trials < 0:
            raise ConfigError(f"strategy.cut_trials must be at least 0, not {cut_trials}")
        if patience < 1:
            raise ConfigError(f"strategy.patience must be at least 1, not {patience}")
        self._cut_trials = cut_trials
        self._cuts_tried = 0
        self._refinement = Refinement(self, patience)

    def search(self) -> Search:
        """The whole search; see the class."""
        yield from self.ask_sensitivities()
        uniform, best = yield from self._try_uniform()
        usable = [p for p in uniform if p.trial.state is TrialState.COMPLETE]
        if not usable:
            yield from self.isolate(uniform[0])
        best = yield from self._search_cuts(usable or uniform, best)
        after_cuts = best.cost if best is not None else None
        recipes = best.recipes if best is not None else ()
        best = yield from self._refinement.of(recipes, best)
        for other in self.space.recipe_sets:
            if best is None or other == best.recipes:
                continue
            point = yield from self.attempt(best.choices, f"the best so far{under(other)}", other)
            faster = yield from self.confirm([point], best)
            if faster is not None:
                best = yield from self._refinement.of(other, faster)
        return self._conclude(best, after_cuts)

    def _try_uniform(self) -> Steps[tuple[list[Point], Point | None]]:
        usual, others = uniform_plans(self.space)
        named = [("fully quantized", {}), *((p.name, p.choices) for p in (*usual, *others))]
        points: dict[str, Point] = {}
        for name, choices in named:
            point = yield from self.attempt(choices, name)
            points.setdefault(point.trial.plan.digest, point)
        self.learn_factors()
        best = yield from self.confirm(points.values())
        return list(points.values()), best

    # -- phase 1 -----------------------------------------------------------------------------------------------

    def _search_cuts(self, uniform: Sequence[Point], best: Point | None) -> Steps[Point | None]:
        ladder = ladder_of(uniform)
        cuts = CutPoints.of(self.model(()).layout, ladder, self._order(), len(self.space.recipe_sets))
        sampler = Sampler(cuts.parameters, self.seed)
        by_choices = {_key(p.choices): p.trial for p in uniform}
        told = [(cuts.at_level(level), by_choices[_key(choices)]) for level, choices in enumerate(ladder)]
        if self.baseline is not None:
            told.append((cuts.at_level(len(ladder)), self.baseline))
        for values, trial in told:
            sampler.tell(values, trial)
        starts = self._starts(cuts, told)
        stale = 0
        while self._cuts_tried < self._cut_trials and stale < _STALE and not self.too_many_culprits:
            start = next(starts, None)
            values = start if start is not None else sampler.suggest()
            recipes = self.space.recipe_sets[int(values.get(RECIPES, 0))]
            positions = self._allowed(cuts, cuts.positions(values))
            known = self.points.get(recipes, {}).get(positions.tobytes())
            if known is not None:
                stale += start is None
                told.append((values, known.trial))
                sampler.tell(values, known.trial)
                continue
            stale = 0
            self._cuts_tried += 1
            choices = cuts.layout.choices(positions)
            point = yield from self.attempt(choices, f"cut points {self._cuts_tried}{under(recipes)}", recipes)
            told.append((values, point.trial))
            sampler.tell(values, point.trial)
            if point.trial.state is not TrialState.COMPLETE:
                yield from self.isolate(point)
            best = (yield from self.confirm([point], best)) or best
        return best

    def _starts(self, cuts: CutPoints, told: Sequence[tuple[Values, Trial]]) -> Iterator[Values]:
        """Points to try before Optuna is asked: what the model aims at, then regions and recipes on the best of it."""
        for share in _AIMED:
            model = self.model(())
            aimed = cuts.predicted(model.cost, model.divergence, share * self.budget(model))
            if aimed is not None:
                yield aimed
        for change in ({"first": _PREFIXES[0]}, {"first": _PREFIXES[1]}, {"last": _SUFFIX}):
            yield {**min(told, key=lambda t: rank(t[1]))[0], **change}
        for recipes in range(1, cuts.recipe_sets):
            yield {**min(told, key=lambda t: rank(t[1]))[0], RECIPES: recipes}

    def _order(self) -> list[str]:
        """Units by sensitivity per saved second, least first; those that save nothing last."""
        known = sorted(self.sensitivities.values())
        usual = known[len(known) // 2] if known else 1.0
        saved = {u.id: self.costs.saving(u) for u in self.space.units}
        loss = {u: self.sensitivities.get(u, usual) for u in saved}
        return sorted(saved, key=lambda u: loss[u] / saved[u] if saved[u] > 0 else math.inf)

    def _allowed(self, cuts: CutPoints, positions: Indices) -> Indices:
        """With the units in float that were found to break plans."""
        return np.where(self.forbidden[positions], cuts.levels[-1], positions)

    def _conclude(self, best: Point | None, after_cuts: float | None) -> str:
        known = "measured sensitivity per saved second" if self.sensitivities else "cost, for want of sensitivities,"
        done = (
            f"Ranked the units by {known} and searched cut points in that order and in the network with Optuna "
            f"({self._cuts_tried} trials); then changed precisions op by op and region by region around the best "
            f"({self._refinement.tried} trials)."
        )
        if self.culprits:
            done += f" Left in float because plans fail with it quantized: {', '.join(self.culprits)}."
        if best is None:
            self.explanation = f"{done} No plan that kept the limit was faster than fp32."
            return "no plan that keeps the limit is expected to be faster than fp32"
        gained = "" if after_cuts is None else f", {after_cuts:.2f} after the cut points"
        self.explanation = f"{done} The best plan takes {best.cost:.2f} times what fp32 takes{gained}."
        return "no plan is expected to improve on the best by enough to be worth a trial"


def _key(choices: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(choices.items()))
