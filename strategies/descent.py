"""Searches that come down from the fully quantized plan: fall back along ladders, then quantize again what fits."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from autoq.strategies.fallback import Ladder, Move, Moves, State
from autoq.strategies.points import CLEARLY, Point, PointSearch, Step
from autoq.strategies.sequential import Steps

_PATIENCE = 12
"""Moves in a row that may fail before a pass ends."""

_ISLANDS = 4
_FINEST = 1 / 16
"""Share of a ladder's rung within which the search for the lowest one that holds ends."""


class Descent(PointSearch):
    """What strategies share that fall back from the fully quantized plan; see `PointSearch` for the arguments."""

    def start(self) -> Steps[tuple[Point, Point | None]]:
        """The uniform plan to start from, without what int8 slows down; and the accepted one, if that is enough."""
        base, accepted = yield from self.uniform()
        slower = [u.id for u in self.quantized if self.costs.saving(u) < 0 and not self.is_float(base, u.id)]
        if slower and len(slower) < len(self.quantized):
            point = yield from self.attempt(self.in_float(base, slower), "what int8 slows down → float", base.recipes)
            if point.cost < CLEARLY * base.cost and (point.trial.met or point.trial.excess <= base.trial.excess):
                base = point
                accepted = (yield from self.confirm([point], accepted)) or accepted
        return base, accepted

    def climb(self, base: Point, ladder: Ladder, moves: Moves, accepted: Point | None) -> Steps[Point | None]:
        """The fastest accepted plan on a ladder, or what was accepted before.

        Rungs 1, 2, 4 ... until one holds the limit, then between that and the last that does not. Every plan on the
        way is tried, none is taken for granted: accuracy does not always grow with the number of ops in float.
        """
        low, high, count = 0, 0, 1
        while count <= len(ladder.steps):
            holds, accepted = yield from self._rung(base, ladder, count, moves, accepted)
            if holds or holds is None:
                high = count
                break
            low = count
            count = min(2 * count, max(len(ladder.steps), count + 1))
        while high - low > max(1, _FINEST * high):
            middle = (low + high) // 2
            holds, accepted = yield from self._rung(base, ladder, middle, moves, accepted)
            if holds or holds is None:
                high = middle
            else:
                low = middle
        return accepted

    def ranked(self, base: Point, moves: Moves, scores: NDArray[np.float64], name: str) -> Ladder:
        """Single units, highest score first; `scores` are in the order of ``space.units``."""
        state = moves.state(base.choices)
        quantized = moves.movable[~state[moves.movable]]
        order = quantized[np.argsort(-scores[quantized], kind="stable")]
        return Ladder(name, [order[i : i + 1] for i in range(len(order))], close=True)

    def from_an_end(self, base: Point, moves: Moves) -> Ladder:
        """Units from the model's input on, or from its output where the larger errors are there."""
        state = moves.state(base.choices)
        order = moves.movable[~state[moves.movable]]
        half = len(order) // 2
        backwards = moves.errors[order[half:]].sum() > moves.errors[order[:half]].sum()
        if backwards:
            order = order[::-1]
        return Ladder("last" if backwards else "first", [order[i : i + 1] for i in range(len(order))])

    def stretches(self, base: Point, moves: Moves) -> Ladder:
        """Stretches and single units by error won per second lost, boundaries counted."""
        return Ladder("stretches of most error per second:", moves.greedy(moves.state(base.choices)))

    def requantize(self, best: Point, base: Point, moves: Moves) -> Step:
        """Quantize again what the limit allows and what makes the plan faster.

        First what is believed to fit into the room that is left below the limit, largest gain first; then the least
        harmful, one by one.
        """
        state = moves.state(best.choices)
        room = _room(best, base, moves)
        refused: list[frozenset[int]] = []
        failures = 0
        while failures < _PATIENCE:
            move = _next(moves.to_quantized(state), room, refused)
            if move is None:
                break
            choices = {**best.choices, **self._quantized(base, moves.ids(move.members))}
            point = yield from self.attempt(choices, f"{move.name} quantized again", best.recipes)
            if point.trial.met and point.cost < best.cost:
                point = yield from self.attempt(choices, f"{move.name} quantized again", best.recipes, full=True)
            if point.trial.accepted and point.cost < best.cost:
                best, failures = point, 0
                state[move.members] = False
                room = max(room - move.error, 0.0)
                continue
            refused.append(frozenset(move.members.tolist()))
            failures += 1
            if not point.trial.met:
                room = min(room, move.error) / 2
        return best

    def fill(self, best: Point, moves: Moves) -> Step:
        """Move quantized units to float whose conversions cost more than they save."""
        state = moves.state(best.choices)
        for _ in range(_ISLANDS):
            move = next((m for m in moves.to_float(state) if m.seconds < 0), None)
            if move is None:
                break
            choices = self.in_float(best, moves.ids(move.members))
            point = yield from self.attempt(choices, f"{move.name} → float, saves conversions", best.recipes)
            better = yield from self.confirm([point], best)
            if better is None:
                break
            best = better
            state[move.members] = True
        return best

    def finish(self, accepted: Point, base: Point, moves: Moves) -> Step:
        """From the first accepted plan to the best: quantize again, fill, and the other recipes."""
        best = yield from self.requantize(accepted, base, moves)
        best = yield from self.fill(best, moves)
        return (yield from self.choose_recipes(best))

    def floats(self, point: Point) -> int:
        """How many of the ops that could be quantized are in float there."""
        return sum(self.is_float(point, u.id) for u in self.quantized)

    def without_success(self, base: Point, how: str) -> str:
        """Explains that nothing was accepted, and why; the reason of the end."""
        if self.holds(base):
            self.explanation = (
                f"Fully quantized, the model keeps the limit but takes {base.cost:.2f} times what fp32 takes. "
                "What int8 slows down was moved to float, and the rest is still no faster than fp32."
            )
            return "plans within the limit are no faster than fp32"
        self.explanation = f"{how}, and no plan on the way kept the limit and was faster than fp32. " + (
            f"Fully quantized, the best style loses {base.trial.excess + 1:.1f} times what is allowed."
            if math.isfinite(base.trial.excess)
            else "Fully quantized, the model could not be scored at all."
        )
        return "every fallback was tried and none keeps the limit"

    def _rung(
        self, base: Point, ladder: Ladder, count: int, moves: Moves, accepted: Point | None
    ) -> Steps[tuple[bool | None, Point | None]]:
        """Whether a rung holds the limit, None where it is bound to be too slow; and the best accepted so far."""
        members = ladder.rung(count, moves.movable)
        spent = sum(self.costs.float_seconds.values())
        if accepted is not None and spent and base.cost + float(moves.savings[members].sum()) / spent > accepted.cost:
            return None, accepted
        note = f"{ladder.name} {len(members)} ops → float"
        choices = self.in_float(base, moves.ids(members))
        point = yield from self.attempt(choices, note, base.recipes)
        if point.trial.met:
            point = yield from self.attempt(choices, note, base.recipes, full=True)
        return point.trial.accepted, (yield from self.confirm([point], accepted)) or accepted

    def _quantized(self, base: Point, units: Iterable[str]) -> Mapping[str, int]:
        return {u: self.quantized_index(base, u) for u in units}


def _room(best: Point, base: Point, moves: Moves) -> float:
    """Error that may come back before the limit is reached, if excess grows in proportion to error."""
    floats: State = moves.state(best.choices) & ~moves.state(base.choices)
    won = moves.change(moves.state(base.choices), np.flatnonzero(floats), True)[0]
    before, after = base.trial.excess, best.trial.excess
    if not math.isfinite(before) or before <= after:
        return won / 2
    return min(max(-after / (before - after), 0.0), 1.0) * won


def _next(moves: list[Move], room: float, refused: list[frozenset[int]]) -> Move | None:
    """The largest gain that fits into the room, else the least harmful; none that includes what was refused."""
    alone = {i for units in refused if len(units) == 1 for i in units}
    several = [units for units in refused if len(units) > 1]
    left = []
    for move in moves:
        members = move.members.tolist()
        if alone.isdisjoint(members) and not any(units.issubset(members) for units in several):
            left.append(move)
    fitting = [m for m in left if m.error <= room]
    if fitting:
        return max(fitting, key=lambda m: m.seconds)
    return min(left, key=lambda m: (m.error, -m.seconds), default=None)
