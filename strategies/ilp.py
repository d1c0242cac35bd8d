"""Integer programming on an additive model: solve, try the plan, correct the model, solve again."""

from __future__ import annotations

import math

import numpy as np

from autoq.core.capability import Recipe
from autoq.core.errors import ConfigError
from autoq.core.space import Space
from autoq.core.strategy import Costs
from autoq.core.trial import TrialState
from autoq.strategies.additive import AdditiveModel
from autoq.strategies.layout import Indices
from autoq.strategies.model_search import ModelSearch
from autoq.strategies.points import Point, under
from autoq.strategies.programme import Programme, Solution
from autoq.strategies.regression import Coefficients
from autoq.strategies.sequential import Search, Steps

_WORTHWHILE = 0.01
"""Share of the cost that the plan expected to be fastest must be predicted to save to be worth a trial."""

_GAIN = 0.003
"""Share of the cost that a plan must save to be tried although the model hardly promises it."""

_HOPE = 0.3
"""Probability of keeping the limit below which a plan is not the best one to try."""

_FAINT_HOPE = 0.02
"""Probability of keeping the limit below which a plan is not worth a trial."""

_MARGIN = 0.02
"""By how much the logarithm of the budget shrinks with every plan that did not keep the limit."""

_LARGE = 1000
"""Units beyond which a relaxation takes so long that a trial gets no more than two of them."""

_BOLDNESS = (0.5, 0.2)
"""How far from the likeliest model others are drawn, one after the other: 1 would be as far as is possible."""

_NEAR = 1.1
"""Of the best cost, below which a recipe is worth a programme of its own."""


CLEARLY_BETTER = 0.99
"""Share of the best cost below which a plan renews the patience; less may be noise of the measurement."""


class Ilp(ModelSearch):
    """Chooses precisions by an integer programme, in the manner of HAWQ-V3 (Yao et al. 2021), and verifies by trials.

    1. The sensitivity of every unit is asked for once; uniform plans are tried.
    2. Divergence and cost are modelled as sums over units and boundaries (`AdditiveModel`). The programme finds the
       plan of least predicted cost whose predicted divergence lies within a budget, conversions between float and
       quantized neighbours included.
    3. The plan is tried; what was measured corrects the model, and the relation between divergence and the criterion
       moves the budget. This is repeated.
    4. When the model promises nothing faster, plans are taken from models drawn at random among those that explain what
       was measured, as many as `patience` allows.
    5. The recipes of the space are tried on what was found, and get programmes of their own where they are fast.

    When a trial fails, the unit that breaks it is found by halving and left in float.

    Args:
        space: What may be chosen.
        costs: Seconds by op.
        seed: For the models drawn near the end.
        screen: Samples of a screening; by default a third of all, at least 64, where trials do not stop by themselves.
        patience: Programmes in a row that may bring no faster accepted plan.

    Raises:
        ConfigError: `screen` or `patience` is below 1.
    """

    def __init__(self, space: Space, costs: Costs, seed: int, *, screen: int | None = None, patience: int = 16) -> None:
        super().__init__(space, costs, seed, screen=screen)
        if patience < 1:
            raise ConfigError(f"strategy.patience must be at least 1, not {patience}")
        self._patience = patience
        self._solved = 0
        self._random = np.random.default_rng(seed)

    @property
    def patience(self) -> int:
        """Programmes in a row that may bring no faster accepted plan."""
        return self._patience

    def search(self) -> Search:
        """The whole search; see the class."""
        base, best = yield from self.prepare()
        best = yield from self.optimize(base, best)
        return self.conclude(best)

    def prepare(self) -> Steps[tuple[Point, Point | None]]:
        """Sensitivities and uniform plans; the plan to start from, and the best accepted one."""
        yield from self.ask_sensitivities()
        base, best = yield from self.uniform()
        self.learn_factors()
        return base, best

    def optimize(self, base: Point, best: Point | None) -> Steps[Point | None]:
        """The fastest accepted plan under any recipes."""
        if base.trial.state is not TrialState.COMPLETE:
            yield from self.isolate(base)
        best = yield from self._descend(base.recipes, best)
        for recipes in self.space.recipe_sets:
            if recipes == base.recipes or best is None:
                continue
            point = yield from self.attempt(best.choices, f"the best so far{under(recipes)}", recipes)
            bar = best.cost
            best = (yield from self.confirm([point], best)) or best
            if point.cost < _NEAR * bar:
                best = yield from self._descend(recipes, best)
        return best

    def conclude(self, best: Point | None) -> str:
        """Explains what was done; returns why it ended."""
        known = f"the measured sensitivity of {len(self.sensitivities)} units" if self.sensitivities else ""
        what = known or f"what trials showed, because sensitivities were not available ({self.unasked})"
        done = (
            f"Chose precisions by {self._solved} integer programme{'' if self._solved == 1 else 's'} on {what}, "
            "the seconds of each op and the cost of conversions, and corrected the model with every trial."
        )
        if self.culprits:
            done += f" Left in float because plans fail with it quantized: {', '.join(self.culprits)}."
        if best is None:
            self.explanation = f"{done} No plan that kept the limit was faster than fp32."
            return "no plan with a chance to keep the limit is predicted to be faster than fp32"
        floats = sum(self.is_float(best, u.id) for u in self.quantized)
        self.explanation = f"{done} The best plan leaves {floats} of {len(self.quantized)} ops in float."
        return "no plan with a chance to keep the limit is predicted to be faster than the best one"

    def fastest(
        self, model: AdditiveModel, cost: Coefficients, divergence: Coefficients, budget: float
    ) -> dict[str, int] | None:
        """The cheapest plan within a budget of divergence, if it was not tried."""
        self._solved += 1
        programme = Programme(model.layout, cost, divergence, self.forbidden)
        return self._fresh(model, programme.solve(budget - divergence.intercept, self._tried(model)))

    def safest(
        self, model: AdditiveModel, cost: Coefficients, divergence: Coefficients, most: float
    ) -> dict[str, int] | None:
        """The plan of least divergence that costs at most so much relative to fp32, if it was not tried."""
        self._solved += 1
        programme = Programme(model.layout, divergence, cost, self.forbidden)
        return self._fresh(model, programme.solve(most - 1 - cost.intercept, self._tried(model)))

    def _tried(self, model: AdditiveModel) -> list[Indices]:
        return [np.frombuffer(key, np.intp) for key in self.points.get(model.recipes, {})]

    def _fresh(self, model: AdditiveModel, solution: Solution | None) -> dict[str, int] | None:
        if solution is None or solution.positions.tobytes() in self.points.get(model.recipes, {}):
            return None
        return model.layout.choices(solution.positions)

    def _descend(self, recipes: tuple[Recipe, ...], best: Point | None) -> Steps[Point | None]:
        """Solve, try and correct under one set of recipes until nothing better is in sight; the best accepted plan."""
        model = self.model(recipes)
        idle, margin = 0, 0.0
        while idle < self.patience and not self.too_many_culprits:
            idle += 1
            choices = self._choose(model, best, margin)
            if choices is None:
                break
            point = yield from self.attempt(choices, f"integer programme {self._solved}{under(recipes)}", recipes)
            if point.trial.state is not TrialState.COMPLETE:
                yield from self.isolate(point)
                idle = 0
                continue
            bar = best.cost if best is not None else math.inf
            faster = yield from self.confirm([point], best)
            if faster is not None:
                best, idle = faster, 0 if faster.cost < CLEARLY_BETTER * bar else idle
            margin = 0.5 * margin if point.trial.met else margin + _MARGIN
        return best

    def _choose(self, model: AdditiveModel, best: Point | None, margin: float) -> dict[str, int] | None:
        """What to try next, or None when nothing has a chance to be faster than the best plan.

        The fastest plan that is expected to keep the limit, while that is clearly faster than the best one. Then, of
        the plans that are a little faster than that, the one that loses least. When that is not promising, the model
        must be wrong for there to be a faster plan: the fastest one of a model that is as likely as what was measured.
        """
        bar = best.cost if best is not None else 1.0
        budget = self.budget(model)
        choices = self.fastest(model, model.cost, model.divergence, budget * math.exp(-margin))
        if choices is not None and model.predict(choices).cost < (1 - _WORTHWHILE) * bar:
            return choices
        choices = self.safest(model, model.cost, model.divergence, (1 - _GAIN) * bar)
        if choices is not None and model.predict(choices).kept > _HOPE:
            return choices
        if len(model.layout.ids) > _LARGE:
            return None if choices is None or model.predict(choices).kept < _FAINT_HOPE else choices
        for boldness in _BOLDNESS:
            cost, divergence = model.sample(self._random, boldness)
            choices = self.safest(model, cost, divergence, (1 - _GAIN) * bar)
            if choices is None:
                continue
            expected = model.predict(choices)
            if expected.cost - expected.cost_sd < bar and expected.kept > _FAINT_HOPE:
                return choices
        return None
