"""From fp32 up: quantizes what saves most per harm, and never leaves the limit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autoq.core.inquiry import Need
from autoq.strategies.fallback import Move, Moves, State
from autoq.strategies.points import Point, PointSearch, Step
from autoq.strategies.regions import blocks, by_type
from autoq.strategies.sequential import Search, Steps, found
from autoq.strategies.styles import Uniform, uniform_plans

_SLOWER = 1.02
"""A step may cost this much by the noise of a quick measurement."""

_TRIES = 24
"""Regions of one size that are tried, most promising first."""

_STYLES = 2


@dataclass(frozen=True, eq=False)
class _Part:
    """Units that are quantized together: ``intp [k]`` indices into ``space.units``, in execution order."""

    name: str
    members: NDArray[np.intp]


class Conservative(PointSearch):
    """Starts from fp32 and quantizes region by region, each step only if the limit still holds.

    1. ``Need.SENSITIVITY`` of the fully quantized plan; where there is none, all ops count the same.
    2. Blocks and op types, then halves of those that were refused, down to single ops: each in the order of latency
       saved per error added, boundaries to float counted. A step stays if the whole plan holds the limit, on all
       samples, and is not slower.
    3. What is still float is tried in other styles of quantization; then the recipes.

    The best plan so far always keeps the promise, so that the search may be stopped at any time.

    Args:
        space: What may be chosen.
        costs: Seconds by op.
        seed: Not used: the search is deterministic.
        screen: Samples of a screening where an evaluation does not stop by itself; by default a third of all, at
            least 64.

    Raises:
        ConfigError: `screen` is below 1.
    """

    def search(self) -> Search:
        """The whole search; see the class."""
        findings = yield from found(Need.SENSITIVITY, self.space.full_plan())
        moves = Moves(self.space, self.costs, findings.values)
        best = yield from self._fp32()
        units = [self.space.units[i] for i in moves.movable]
        parts = [_Part(r.name, _indices(moves, r.units)) for r in (*by_type(units), *blocks(units))]
        best = yield from self._rise(best, moves, parts, None)
        usual, others = uniform_plans(self.space)
        for style in [*usual, *others][1 : 1 + _STYLES]:
            left = [u for u in units if self.is_float(best, u.id) and u.id in style.choices]
            parts = [_Part(f"{r.name} as {style.name}", _indices(moves, r.units)) for r in blocks(left)]
            best = yield from self._rise(best, moves, parts, style)
        if best.trial.accepted and best.cost < 1:
            best = yield from self.choose_recipes(best)
        quantized = sum(not self.is_float(best, u.id) for u in self.quantized)
        order = "latency saved per error added" if findings.values else "latency saved"
        self.explanation = (
            f"Started from fp32 and quantized {quantized} of {len(self.quantized)} ops, regions first, in the order of "
            f"{order}. Each step was kept only if the whole plan held the limit and was not slower."
        )
        return "nothing more can be quantized within the limit" if quantized else "no region can be quantized"

    def _fp32(self) -> Step:
        """The plan to start from, which was told: fp32, or as near as the job allows."""
        choices = {u.id: u.float_index or 0 for u in self.space.units}
        return (yield from self.attempt(choices, "float where the job allows it"))

    def _rise(self, best: Point, moves: Moves, parts: Sequence[_Part], style: Uniform | None) -> Step:
        """Quantize part by part, halving what is refused, down to single units."""
        state = moves.state(best.choices)
        while parts:
            refused: list[_Part] = []
            waiting = list(parts)
            for _ in range(_TRIES):
                part = _next(moves, state, waiting)
                if part is None:
                    break
                waiting.remove(part)
                members = part.members[state[part.members]]
                point = yield from self._quantize(best, moves.ids(members), part.name, style)
                if point is None:
                    refused.append(_Part(part.name, members))
                else:
                    best = point
                    state[members] = False
            parts = [half for part in refused for half in _halves(part, moves)]
        return best

    def _quantize(self, best: Point, units: frozenset[str], name: str, style: Uniform | None) -> Steps[Point | None]:
        """The plan with these units quantized, too; None where it loses too much or is slower."""
        choices = {**best.choices, **{u: self._index(u, style) for u in units}}
        point = yield from self.attempt(choices, f"{name} quantized", best.recipes)
        bar = _SLOWER * best.cost if best.trial.accepted else 1.0
        if point.trial.met and point.cost <= bar:
            point = yield from self.attempt(choices, f"{name} quantized", best.recipes, full=True)
        return point if point.trial.accepted and point.cost <= bar else None

    def _index(self, unit: str, style: Uniform | None) -> int:
        precisions = self.space.by_id[unit].precisions
        first = next(i for i, p in enumerate(precisions) if not p.is_float)
        return first if style is None else style.choices.get(unit, first)


def _next(moves: Moves, state: State, parts: Sequence[_Part]) -> _Part | None:
    """The part that adds least error per second saved; None when no part is left that may save anything."""
    found: list[tuple[float, float, int]] = []
    for n, part in enumerate(parts):
        members = part.members[state[part.members]]
        if len(members) and moves.savings[members].sum() > 0:
            move = Move(part.name, members, *moves.change(state, members, False))
            found.append((move.rate, -move.seconds, n))
    return parts[min(found)[2]] if found else None


def _halves(part: _Part, moves: Moves) -> list[_Part]:
    middle = len(part.members) // 2
    if not middle:
        return []
    names = [moves.space.units[i].id for i in part.members]
    found = []
    for start, stop in ((0, middle), (middle, len(names))):
        name = names[start] if stop - start == 1 else f"{names[start]} to {names[stop - 1]}"
        found.append(_Part(name, part.members[start:stop]))
    return found


def _indices(moves: Moves, units: frozenset[str]) -> NDArray[np.intp]:
    return np.array(sorted(moves.index[u] for u in units), np.intp)
