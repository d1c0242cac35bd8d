"""Several objectives: the front of plans within the limit, each point of it a trial."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping

from autoq.core.errors import ConfigError
from autoq.core.objective import Quantity
from autoq.core.space import Space
from autoq.core.strategy import Costs
from autoq.core.trial import Trial, TrialState
from autoq.strategies.additive import AdditiveModel
from autoq.strategies.ilp import Ilp
from autoq.strategies.points import Point
from autoq.strategies.regression import Coefficients
from autoq.strategies.sequential import Search, Steps

_STEPS = 4
"""Shares in which weights are divided while the front is explored."""

_MANY = 2
"""Steps where there are more than two quantities."""

_GAIN = 0.005
"""Share that a plan must be predicted to improve on what is known, to be worth a trial."""

_TIGHTER = 0.1
"""By how much the logarithm of the budget shrinks when a plan does not keep the limit."""


class Pareto(Ilp):
    """Finds plans that trade one objective for another, all within the limit.

    1. The best plan by the job's weights, as strategy ilp finds it.
    2. Then weights are swept over the quantities of the job, from all on one to all on another. For each of them, the
       integer programme gives the plan of least predicted cost; it is tried, corrects the models of every quantity, and
       is solved again until it brings nothing new.

    What is chosen in the end is the best by the job's weights; the others form the front in the report.

    Args:
        space: What may be chosen.
        costs: Seconds by op, and the quantities of the job.
        seed: For the models drawn near the end of the first step.
        screen: Samples of a screening; by default a third of all, at least 64, where trials do not stop by themselves.
        patience: Programmes in a row that may bring no better plan by the job's weights.
        tries: Trials for each of the weights.

    Raises:
        ConfigError: `screen`, `patience` or `tries` is below 1.
    """

    def __init__(
        self, space: Space, costs: Costs, seed: int, *, screen: int | None = None, patience: int = 8, tries: int = 3
    ) -> None:
        super().__init__(space, costs, seed, screen=screen, patience=patience)
        if tries < 1:
            raise ConfigError(f"strategy.tries must be at least 1, not {tries}")
        self._tries = tries

    @property
    def quantities(self) -> tuple[Quantity, ...]:
        """What the models predict besides the cost: every quantity, where there are several."""
        return self.costs.quantities if len(self.costs.quantities) > 1 else ()

    def search(self) -> Search:
        """The whole search; see the class."""
        base, best = yield from self.prepare()
        best = yield from self.optimize(base, best)
        reason = self.conclude(best)
        if not self.quantities:
            self.explanation += " There is one objective, so that the front is a single plan."
            return reason
        for weights in directions(self.quantities):
            yield from self._explore(weights, best or base)
        best = self._best() or best
        self.conclude(best)
        names = ", ".join(self.quantities)
        self.explanation += f" Then swept the weights of {names} to find the plans that trade one for another."
        return "no weights of the objectives are predicted to give another plan of the front"

    def _explore(self, weights: Mapping[Quantity, float], start: Point) -> Steps[None]:
        """Solve, try and correct for one set of weights, under the recipes of the best plan."""
        model = self.model(start.recipes)
        shift = 0.0
        for _ in range(self._tries):
            cost = combined({q: model.quantity(q) for q in weights}, weights)
            choices = self.fastest(model, cost, model.divergence, self.budget(model) * math.exp(shift))
            if choices is None:
                return
            promised = 1 + cost.of(model.layout.encode(choices))
            known = self._least(model, weights)
            if known is not None and promised > (1 - _GAIN) * known:
                return
            point = yield from self.attempt(choices, f"weights {_told(weights)}", start.recipes)
            if point.trial.state is not TrialState.COMPLETE:
                yield from self.isolate(point)
            elif not point.trial.met:
                shift -= _TIGHTER
            elif not point.trial.accepted:
                yield from self.attempt(choices, "scored in full", start.recipes, full=True)

    def _least(self, model: AdditiveModel, weights: Mapping[Quantity, float]) -> float | None:
        """The smallest weighted sum that an accepted plan was measured to have."""
        sums = (weighted(model, t, weights) for t in self.told_trials.values() if t.accepted)
        return min((s for s in sums if s is not None), default=None)

    def _best(self) -> Point | None:
        """The best plan by the job's weights, which may have come up while other weights were tried."""
        points = (p for known in self.points.values() for p in known.values() if p.trial.accepted and p.cost < 1)
        return min(points, key=lambda p: p.cost, default=None)


def directions(quantities: tuple[Quantity, ...]) -> list[dict[Quantity, float]]:
    """Weights that sum to one: all on one quantity, then what lies between; each quantity keeps a trace of weight."""
    steps = _STEPS if len(quantities) == 2 else _MANY
    shares = [s for s in itertools.product(range(steps + 1), repeat=len(quantities)) if sum(s) == steps]
    # The corners first: they span the front.
    shares.sort(key=lambda s: (-max(s), [-x for x in s]))
    trace = 0.01
    total = 1 + trace * len(quantities)
    return [{q: (x / steps + trace) / total for q, x in zip(quantities, s, strict=True)} for s in shares]


def combined(effects: Mapping[Quantity, Coefficients], weights: Mapping[Quantity, float]) -> Coefficients:
    """The weighted sum of effects."""
    parts = [(weights[q], e) for q, e in effects.items()]
    return Coefficients(
        sum((w * e.units for w, e in parts[1:]), parts[0][0] * parts[0][1].units),
        sum((w * e.boundaries for w, e in parts[1:]), parts[0][0] * parts[0][1].boundaries),
        sum(w * e.intercept for w, e in parts),
    )


def weighted(model: AdditiveModel, trial: Trial, weights: Mapping[Quantity, float]) -> float | None:
    """The weighted sum of the measured quantities of a trial; None while one is unknown."""
    total = 0.0
    for quantity, weight in weights.items():
        ratio = model.ratio(trial, quantity)
        if ratio is None:
            return None
        total += weight * ratio
    return total


def _told(weights: Mapping[Quantity, float]) -> str:
    return ", ".join(f"{quantity} {weight:.2f}" for quantity, weight in weights.items())
