"""What searches that walk from plan to plan share: tried points, confirming on all samples, uniform plans, recipes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from autoq.core.capability import Recipe
from autoq.core.errors import ConfigError
from autoq.core.plan import Plan, Proposal
from autoq.core.space import Space
from autoq.core.strategy import Costs
from autoq.core.trial import Trial, TrialState
from autoq.strategies.sequential import Sequential, Steps, tried
from autoq.strategies.styles import uniform_plans

CLEARLY = 0.97
"""Share of the cost below which a plan counts as faster in spite of the noise of a quick measurement."""

COMFORT = -0.2
"""Excess from which on a screened plan is believed to hold the limit on all samples, too."""

_WORTH_SCREENING = 1.5
"""Seconds of a full evaluation below which screening on fewer samples saves nothing."""

_LEAST_SCREEN = 64
_FULL_TRIES = 4


@dataclass(frozen=True)
class Point:
    """A place in the space: the choice of every unit and the recipes, and the trial that was made of it."""

    choices: Mapping[str, int]
    trial: Trial

    @property
    def cost(self) -> float:
        """The objective; infinite while unknown."""
        return self.trial.objective if self.trial.objective is not None else float("inf")

    @property
    def recipes(self) -> tuple[Recipe, ...]:
        """The recipes of its plan."""
        return self.trial.plan.recipes


Step = Steps[Point]


def harms(trials: Sequence[Trial]) -> list[float]:
    """How much accuracy each trial loses, for comparing these trials with each other: smaller is better.

    Divergences where all have one; else what the metrics are beyond their limits, which tells little of trials that
    stopped as soon as they were decided. Infinite for a failed trial.
    """
    scored = [t for t in trials if math.isfinite(t.excess)]
    by_divergence = all(t.divergence is not None and math.isfinite(t.divergence) for t in scored)
    measured = [t.divergence if by_divergence and t.divergence is not None else t.excess for t in trials]
    return [m if math.isfinite(t.excess) else math.inf for t, m in zip(trials, measured, strict=True)]


def no_worse(trial: Trial, other: Trial) -> bool:
    """Whether a trial loses no more accuracy than another, or no more than is allowed."""
    mine, others = harms([trial, other])
    return trial.met or mine <= others


def rank(trial: Trial) -> tuple[float, float]:
    """The accepted with the lowest cost first, then the nearest to the limit."""
    cost = trial.objective if trial.objective is not None else math.inf
    return (0.0, cost) if trial.accepted else (max(trial.excess, 0.0) + 1.0, cost)


def under(recipes: tuple[Recipe, ...]) -> str:
    """How a note says under which recipes a plan is tried."""
    return f" under {', '.join(r.label for r in recipes)}" if recipes else ""


class PointSearch(Sequential):
    """A search from point to point.

    Trials are screened on few samples where a full evaluation is expensive and does not stop by itself; a plan that
    counts is always scored on all of them.

    Args:
        space: What may be chosen.
        costs: Seconds by op.
        seed: Not used: such searches are deterministic.
        screen: Samples of a screening; by default a third of all, at least 64.

    Raises:
        ConfigError: `screen` is below 1.
    """

    def __init__(self, space: Space, costs: Costs, seed: int, *, screen: int | None = None) -> None:
        super().__init__(space, costs, seed)
        if screen is not None and screen < 1:
            raise ConfigError(f"strategy.screen must be at least 1, not {screen}")
        self.screen = screen if screen is not None else self._default_screen()
        self.quantized = [u for u in space.units if u.is_quantizable and u.float_index is not None]
        self._seen: dict[tuple[str, bool], Trial] = {}
        self._uniform: list[Point] = []

    def attempt(
        self, choices: Mapping[str, int], note: str, recipes: tuple[Recipe, ...] = (), *, full: bool = False
    ) -> Step:
        """Try a plan, screened where that is worth it; a plan tried before is not tried again."""
        plan = self.space.plan(choices, recipes)
        whole = full or self.screen is None
        known = self.seen(plan) if whole else self.seen(plan) or self._seen.get((plan.digest, False))
        if known is None:
            known = yield from tried(Proposal(plan, None if whole else self.screen, note=note))
            self._seen[plan.digest, known.full or whole] = known
        return Point(choices, known)

    def seen(self, plan: Plan) -> Trial | None:
        """The trial of a plan that was scored as a whole, or told as the baseline or a rival."""
        told = (t for t in (self.baseline, *self.rivals) if t is not None and t.plan.digest == plan.digest)
        return self._seen.get((plan.digest, True)) or next(told, None)

    def trials(self) -> list[Trial]:
        """Every trial so far."""
        return list(self._seen.values())

    def confirm(self, points: Iterable[Point], accepted: Point | None = None) -> Steps[Point | None]:
        """The fastest of the points that holds the limit on all samples and beats what is accepted, or None."""
        bar = accepted.cost if accepted is not None else 1.0
        passing = sorted((p for p in points if p.trial.met and p.cost < bar), key=lambda p: p.cost)
        for point in passing[:_FULL_TRIES]:
            full = point
            if not point.trial.full:
                full = yield from self.attempt(point.choices, "scored in full", point.recipes, full=True)
            if full.trial.accepted:
                return full
        return None

    def uniform(self) -> Steps[tuple[Point, Point | None]]:
        """The uniform plan to start from, and the accepted one if uniform plans are enough.

        Styles of other modes differ in speed and are tried in any case; other styles of the same modes only where
        the fully quantized plan loses too much; then the recipes.
        """
        usual, others = uniform_plans(self.space)
        points = [(yield from self.attempt({}, "fully quantized"))]
        for plan in others:
            point = yield from self.attempt(plan.choices, plan.name)
            points.append(point)
        accepted = yield from self.confirm(points)
        if accepted is None:
            for plan in usual:
                point = yield from self.attempt(plan.choices, plan.name)
                points.append(point)
            accepted = yield from self.confirm(points)
        self._uniform = points
        ranked = zip(harms([p.trial for p in points]), (p.cost for p in points), range(len(points)), strict=True)
        base = accepted or points[min(ranked)[2]]
        base, accepted = yield from self._start_recipes(base, accepted)
        if accepted is None and base.trial.met and base.cost >= 1:
            yield from self.attempt(base.choices, "scored in full", base.recipes, full=True)
        return base, accepted

    def faster_uniform(self, accepted: Point) -> Point | None:
        """The fastest uniform plan, where it is clearly faster than what is accepted: what to fall back from."""
        usable = [p for p in self._uniform if p.trial.state is TrialState.COMPLETE]
        fastest = min(usable, key=lambda p: p.cost, default=accepted)
        return fastest if fastest.cost < CLEARLY * accepted.cost else None

    def choose_recipes(self, best: Point) -> Step:
        """What was found under each of the other recipes; the fastest that is accepted."""
        for recipes in self._other_recipes(best):
            point = yield from self.attempt(best.choices, f"the best so far with {_named(recipes)}", recipes)
            best = (yield from self.confirm([point], best)) or best
        return best

    def holds(self, base: Point) -> bool:
        """Whether the plan to start from keeps the limit on all samples, so that only its speed is in the way."""
        known = self._seen.get((base.trial.plan.digest, True))
        return known is not None and known.accepted

    def in_float(self, base: Point, units: Iterable[str]) -> dict[str, int]:
        """The choices of a point with some units in float."""
        return {**base.choices, **{u: self.space.by_id[u].float_index or 0 for u in units}}

    def is_float(self, point: Point, unit: str) -> bool:
        """Whether a unit runs in float there."""
        return self.space.by_id[unit].precisions[point.choices.get(unit, 0)].is_float

    def quantized_index(self, base: Point, unit: str) -> int:
        """The precision a unit is quantized to: that of `base` where it is quantized there, else its first."""
        return 0 if self.is_float(base, unit) else base.choices.get(unit, 0)

    def saving(self, units: Iterable[str]) -> float:
        """Seconds that quantizing these units is believed to save."""
        return sum(self.costs.saving(self.space.by_id[u]) for u in units)

    def _start_recipes(self, base: Point, accepted: Point | None) -> Steps[tuple[Point, Point | None]]:
        """The uniform plan under each recipe, where it gets faster by it and no less accurate."""
        for recipes in self._other_recipes(base):
            point = yield from self.attempt(base.choices, f"the same with {_named(recipes)}", recipes)
            if point.cost < CLEARLY * base.cost and no_worse(point.trial, base.trial):
                base = point
                accepted = (yield from self.confirm([point], accepted)) or accepted
        return base, accepted

    def _other_recipes(self, point: Point) -> list[tuple[Recipe, ...]]:
        return [recipes for recipes in self.space.recipe_sets if recipes != point.recipes]

    def _default_screen(self) -> int | None:
        samples = self.costs.samples
        if self.costs.sequential:
            return None  # an evaluation that stops when it is decided screens by itself
        if samples * self.costs.score_seconds < _WORTH_SCREENING or samples <= _LEAST_SCREEN:
            return None
        return min(max(_LEAST_SCREEN, samples // 3), samples)


def _named(recipes: Sequence[Recipe]) -> str:
    return ", ".join(recipe.label for recipe in recipes) or "no recipe"
