"""Uniform sampling of the space, never the same plan twice: the yardstick every other strategy must beat."""

from __future__ import annotations

import random

from autoq.core.plan import Plan, Proposal
from autoq.core.space import Space
from autoq.core.strategy import Costs
from autoq.strategies.sequential import Search, Sequential

_PATIENCE = 1000
"""Draws without a new plan after which the space counts as exhausted."""


class Random(Sequential):
    """Draws plans uniformly without repetition until the space is exhausted or the budget is spent.

    The first plan is the fully quantized one, so that even one trial says something useful. Memory grows
    with the number of trials, not with the size of the space.
    """

    def __init__(self, space: Space, costs: Costs, seed: int) -> None:
        super().__init__(space, costs, seed)
        self._random = random.Random(seed)

    def search(self) -> Search:
        """Propose until nothing new is left."""
        seen = {plan.digest for plan in self.known_plans()}
        first = len(seen) + 1
        plan: Plan | None = self.space.full_plan()
        while plan is not None:
            seen.add(plan.digest)
            yield Proposal(plan, note="random draw" if len(seen) > first else "fully quantized")
            plan = self._draw(seen)
        self.explanation = "Drew plans uniformly at random, each at most once: a yardstick for other searches."
        return f"all {len(seen)} plans of the space were drawn"

    def _draw(self, seen: set[str]) -> Plan | None:
        if len(seen) >= self.space.size:
            return None
        sets = self.space.recipe_sets
        for _ in range(_PATIENCE):
            choices = {u.id: self._random.randrange(len(u.precisions)) for u in self.space.units}
            plan = self.space.plan(choices, self._random.choice(sets) if len(sets) > 1 else sets[0])
            if plan.digest not in seen:
                return plan
        return self._first_unseen(seen)

    def _first_unseen(self, seen: set[str]) -> Plan | None:
        # Reached only in spaces hardly larger than the number of trials: walking them is cheap.
        choices = {u.id: 0 for u in self.space.units}
        for _ in range(self.space.size // len(self.space.recipe_sets)):
            for recipes in self.space.recipe_sets:
                plan = self.space.plan(choices, recipes)
                if plan.digest not in seen:
                    return plan
            for unit in reversed(self.space.units):
                choices[unit.id] = (choices[unit.id] + 1) % len(unit.precisions)
                if choices[unit.id]:
                    break
        return None
