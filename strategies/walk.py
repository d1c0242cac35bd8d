"""Plans near a plan: first those that differ in one choice, then in two, until the space is exhausted."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass

from autoq.core.space import Space


@dataclass(frozen=True, slots=True)
class Place:
    """A plan of a space as numbers: the choice of each unit in the space's order, and of the recipes."""

    choices: tuple[int, ...]
    recipes: int = 0


def nearby(place: Place, space: Space, shuffled: random.Random) -> Iterator[Place]:
    """Every other plan of the space, nearest first; equally near ones in a random order of the units.

    Made one by one: the first few cost little in a space of any size.
    """
    counts = [*(len(u.precisions) for u in space.units), len(space.recipe_sets)]
    origin = (*place.choices, place.recipes)
    axes = [i for i, count in enumerate(counts) if count > 1]
    shuffled.shuffle(axes)
    for distance in range(1, len(axes) + 1):
        for changed in itertools.combinations(axes, distance):
            alternatives = ([c for c in range(counts[i]) if c != origin[i]] for i in changed)
            for values in itertools.product(*alternatives):
                moved = list(origin)
                for i, value in zip(changed, values, strict=True):
                    moved[i] = value
                yield Place(tuple(moved[:-1]), moved[-1])
