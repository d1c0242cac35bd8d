"""Every plan of a small space: the whole truth, and the oracle other strategies are tested against."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from autoq.core.errors import UnsupportedError
from autoq.core.plan import Plan, Proposal
from autoq.core.space import Space
from autoq.core.strategy import Costs
from autoq.strategies.sequential import Search, Sequential


class Exhaustive(Sequential):
    """Streams every plan of the space, the fully quantized one first, in constant memory.

    Args:
        space: What may be chosen.
        costs: Not used.
        seed: Not used: the order is fixed.
        max_plans: Largest space that is accepted.

    Raises:
        UnsupportedError: The space is larger than `max_plans`.
    """

    def __init__(self, space: Space, costs: Costs, seed: int, *, max_plans: int = 10_000) -> None:
        super().__init__(space, costs, seed)
        if space.size > max_plans:
            raise UnsupportedError(
                f"exhaustive search would need {_count(space.size)} trials ({len(space.units)} ops with a choice); "
                f"its limit is {max_plans:,}",
                hint="restrict op_wise / optype_wise, raise strategy.max_plans, or use strategy basic",
            )

    def search(self) -> Search:
        """Propose every plan once; the all-float plan is the baseline and is left out, as are rivals tried before."""
        known = self.known_plans()
        left = self.space.size - len(known)
        count = 0
        for plan in self._plans():
            if plan not in known:
                count += 1
                yield Proposal(plan, note=f"plan {count} of {left}")
        self.explanation = f"Tried each of the {count} plans, so that none in the space is better."
        return f"all {count} plans of the space were tried"

    def _plans(self) -> Iterator[Plan]:
        units = self.space.units
        for choice in itertools.product(*(range(len(u.precisions)) for u in units)):
            for recipes in self.space.recipe_sets:
                yield self.space.plan({u.id: c for u, c in zip(units, choice, strict=True)}, recipes)


def _count(number: int) -> str:
    """With thousands separators; a power of ten where that is all a reader can grasp."""
    digits = str(number)
    return f"{number:,}" if len(digits) <= 12 else f"{digits[0]}.{digits[1]}e{len(digits) - 1}"
