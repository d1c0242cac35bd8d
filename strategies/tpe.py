"""Plain Bayesian search: Optuna's TPE with one categorical parameter for each unit."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence

from autoq.core.plan import Plan, Proposal
from autoq.core.space import Space
from autoq.core.strategy import Costs
from autoq.core.trial import Trial
from autoq.strategies.points import rank
from autoq.strategies.sampler import Choice, Sampler, Values
from autoq.strategies.sequential import Search, Sequential, tried
from autoq.strategies.styles import uniform_plans
from autoq.strategies.walk import Place, nearby

_BLOCK = 200
"""Units that are sampled together; Optuna's time for a suggestion grows with their number."""

_PATIENCE = 4
"""Suggestions of known plans in a row before one is made without Optuna."""

_RECIPES = "recipes"


class Tpe(Sequential):
    """Optuna's TPE over the precision of every unit, for comparison: cold, it is near random from 150 ops on.

    It starts from the fully quantized plan and the uniform ones, and is told every trial with its excess over the
    limit as a constraint; failed trials count as far beyond it. A plan is tried once: where only known ones are
    suggested, the unseen plan nearest to the best so far is tried. Ends when the space is exhausted.

    Up to 200 units are sampled at once. Of more, a block of at most 200 is sampled in turn while the others stay as
    in the best plan so far, so that an ask takes a fraction of a second at 5,000 units.

    Args:
        space: What may be chosen.
        costs: Not used.
        seed: Of Optuna's sampler and of the order of fallbacks.
    """

    def __init__(self, space: Space, costs: Costs, seed: int) -> None:
        super().__init__(space, costs, seed)
        units = space.units
        count = max(1, -(-len(units) // _BLOCK))
        edges = [round(i * len(units) / count) for i in range(count + 1)]
        self._blocks = [range(a, b) for a, b in itertools.pairwise(edges)]
        self._samplers: list[Sampler] = []
        self._seen: set[Place] = set()
        self._best: tuple[Place, Trial] | None = None
        self._random = random.Random(seed)

    def search(self) -> Search:
        """The whole search; see the class."""
        self._samplers = [self._sampler(block, self.seed + i) for i, block in enumerate(self._blocks)]
        for plan in self.known_plans():
            self._seen.add(self._place(plan))
        usual, others = uniform_plans(self.space)
        starts = [({}, "fully quantized"), *((plan.choices, plan.name) for plan in (*usual, *others))]
        for choices, note in starts:
            place: Place | None = self._place(self.space.plan(choices))
            if place is not None and place not in self._seen:
                yield from self._try(place, note)
        for turn in range(self.space.size):
            place, note = self._suggest(turn % len(self._blocks)), "suggested by TPE"
            if place is None:
                place, note = self._unseen(), "near the best so far"
            if place is None:
                break
            yield from self._try(place, note)
        self.explanation = (
            f"Optuna's TPE chose the precision of {len(self.space.units)} units in {len(self._seen)} plans. "
            "It knows nothing of what ops cost or lose, and serves as a comparison."
        )
        return f"all {len(self._seen)} plans of the space were tried"

    def _try(self, place: Place, note: str) -> Search:
        self._seen.add(place)
        trial = yield from tried(Proposal(self._plan(place), note=note))
        for block, sampler in zip(self._blocks, self._samplers, strict=True):
            sampler.tell(self._values(place, block), trial)
        if self._best is None or rank(trial) < rank(self._best[1]):
            self._best = (place, trial)
        return note

    def _suggest(self, number: int) -> Place | None:
        """An unseen plan: this block as suggested, the others as in the best so far; None when patience is over."""
        if 2 * len(self._seen) > self.space.size:
            return None  # most suggestions would be known plans
        block = self._blocks[number]
        for _ in range(_PATIENCE):
            values = self._samplers[number].suggest()
            place = self._merged(values, block)
            if place not in self._seen:
                return place
        return None

    def _merged(self, values: Values, block: Sequence[int]) -> Place:
        choices = list(self._best[0].choices) if self._best is not None else [0] * len(self.space.units)
        recipes = self._best[0].recipes if self._best is not None else 0
        for i in block:
            choices[i] = int(values[self.space.units[i].id])
        return Place(tuple(choices), int(values.get(_RECIPES, recipes)))

    def _unseen(self) -> Place | None:
        assert self._best is not None
        return next((p for p in nearby(self._best[0], self.space, self._random) if p not in self._seen), None)

    def _sampler(self, block: Sequence[int], seed: int) -> Sampler:
        parameters = {self.space.units[i].id: Choice(len(self.space.units[i].precisions)) for i in block}
        if len(self.space.recipe_sets) > 1:
            parameters[_RECIPES] = Choice(len(self.space.recipe_sets))
        return Sampler(parameters, seed)

    def _values(self, place: Place, block: Sequence[int]) -> Values:
        values = {self.space.units[i].id: place.choices[i] for i in block}
        return values if len(self.space.recipe_sets) == 1 else {**values, _RECIPES: place.recipes}

    def _plan(self, place: Place) -> Plan:
        choices = {u.id: c for u, c in zip(self.space.units, place.choices, strict=True)}
        return self.space.plan(choices, self.space.recipe_sets[place.recipes])

    def _place(self, plan: Plan) -> Place:
        choices = self.space.choices(plan)
        return Place(tuple(choices[u.id] for u in self.space.units), self.space.recipe_sets.index(plan.recipes))
