"""Searches that come down from the fastest plan: fall back along ladders, then take back what fits."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autoq.core.inquiry import Findings, Need
from autoq.core.trial import TrialState
from autoq.strategies.fallback import Ladder, Move, Moves
from autoq.strategies.points import CLEARLY, Point, PointSearch, Step, no_worse
from autoq.strategies.sequential import Steps, found
from autoq.strategies.styles import uniform_plans

_PATIENCE = 8
"""Moves in a row that may fail before a pass ends."""

_ISLANDS = 4
_RESTYLES = 2
_RESTYLE_PATIENCE = 3
_FINEST = 1 / 16
"""Share of a ladder's rung within which the search for the lowest one that holds ends."""


@dataclass(frozen=True)
class Ground:
    """Where a descent begins, and to what units fall back.

    Attributes:
        base: The fast plan to come down from.
        safe: The choices units fall back to: float, or those of a slower uniform plan that keeps the limit.
        accepted: The best plan that is accepted already, or None.
        share: How much of what quantizing saves lies between the two.
    """

    base: Point
    safe: Mapping[str, int]
    accepted: Point | None
    share: float = 1.0


class Descent(PointSearch):
    """What strategies share that fall back from the fully quantized plan; see `PointSearch` for the arguments."""

    def start(self) -> Steps[Ground]:
        """Uniform plans, and what int8 slows down in float.

        Where a uniform plan is accepted, and a faster one is not, units of the faster fall back to the accepted one's.
        """
        base, accepted = yield from self.uniform()
        slower = [u.id for u in self.quantized if self.costs.saving(u) < 0 and not self.is_float(base, u.id)]
        if slower and len(slower) < len(self.quantized):
            point = yield from self.attempt(self.in_float(base, slower), "what int8 slows down → float", base.recipes)
            if point.cost < CLEARLY * base.cost and no_worse(point.trial, base.trial):
                base = point
                accepted = (yield from self.confirm([point], accepted)) or accepted
        if accepted is None:
            return Ground(base, self.in_float(base, (u.id for u in self.quantized)), None)
        fully = yield from self.attempt({}, "fully quantized")
        if fully.cost < CLEARLY * accepted.cost and not fully.trial.met and fully.trial.state is TrialState.COMPLETE:
            safe = {u.id: accepted.choices.get(u.id, 0) for u in self.space.units}
            share = (accepted.cost - fully.cost) / max(1 - fully.cost, 1e-9)
            return Ground(fully, safe, accepted, min(share, 1.0))
        return Ground(accepted, accepted.choices, accepted)

    def finished(self, ground: Ground) -> str | None:
        """The reason to end where there is nothing to fall back from, explained; None where there is."""
        accepted = ground.accepted
        if accepted is not None and ground.base is accepted:
            self.explanation = (
                f"A uniform plan keeps the limit at {accepted.cost:.2f} times the cost of fp32, and none is faster. "
                "So no op had to fall back."
            )
            return "a uniform plan keeps the limit"
        if accepted is None and self.holds(ground.base):
            return self.without_success(ground.base, "Uniform plans were tried")
        return None

    def sensed(self, ground: Ground, *needs: Need) -> Steps[Findings]:
        """The first of the needs that is answered, or the last answer."""
        for need in needs:
            findings = yield from found(need, ground.base.trial.plan)
            if findings.values:
                break
        return findings

    def moves(self, ground: Ground, findings: Findings) -> Moves:
        """Moves between the fast plan and what units fall back to."""
        return Moves(self.space, self.costs, findings.values, ground.base.choices, ground.safe, ground.share)

    def climb_all(self, ground: Ground, moves: Moves, scores: NDArray[np.float64], name: str) -> Steps[Point | None]:
        """The fastest accepted plan on three ladders, or what was accepted before.

        The ladders: single units, highest score first (`scores` in the order of ``space.units``); stretches and units
        by error won per second lost, boundaries counted; units from the model's input on, or from its output where
        the larger errors are there.
        """
        order = moves.movable[np.argsort(-scores[moves.movable], kind="stable")]
        half = len(order) // 2
        backwards = moves.errors[moves.movable[half:]].sum() > moves.errors[moves.movable[:half]].sum()
        along = moves.movable[::-1] if backwards else moves.movable
        ladders = (
            Ladder(name, [order[i : i + 1] for i in range(len(order))], close=True),
            Ladder("parts of most error per second:", moves.greedy(moves.nothing())),
            Ladder("last" if backwards else "first", [along[i : i + 1] for i in range(len(along))]),
        )
        accepted = ground.accepted
        for ladder in ladders:
            accepted = yield from self._climb(ground.base, ladder, moves, accepted)
        return accepted

    def improve(
        self,
        best: Point,
        moves: Moves,
        room: float,
        *,
        slack: float = 1.0,
        growth: float = 0.0,
        note: str = "",
        patience: int = _PATIENCE,
    ) -> Step:
        """Take back moves that fit below the limit and make the plan faster.

        First the largest gain that is believed to fit into `room`, in the unit of errors; what fits makes it smaller,
        or larger by `growth`, and what does not fit halves it. When nothing fits any more, the least harmful, one by
        one, until `patience` moves in a row have failed. A step may cost `slack` times what the cheapest plan before
        costs.
        """
        state = moves.state(best.choices)
        refused: list[frozenset[int]] = []
        failures, lowest = 0, best.cost
        while failures < patience:
            move = _next(moves.to_quantized(state), room, refused)
            if move is None:
                break
            after = state.copy()
            after[move.members] = False
            choices, bar = moves.choices(after), slack * lowest
            point = yield from self.attempt(choices, f"{move.name} quantized{note}", best.recipes)
            if point.trial.met and point.cost < bar:
                point = yield from self.attempt(choices, f"{move.name} quantized{note}", best.recipes, full=True)
            if point.trial.accepted and point.cost < bar:
                best, state, failures = point, after, 0
                lowest = min(lowest, best.cost)
                room = max(room - move.error, growth * move.error)
                continue
            refused.append(frozenset(move.members.tolist()))
            failures += 1
            if not point.trial.met:
                room = min(room, move.error) / 2
        return best

    def finish(self, accepted: Point, ground: Ground, moves: Moves) -> Step:
        """From the first accepted plan to the best: quantize again, fill islands, other styles and recipes."""
        best = yield from self.improve(accepted, moves, self._room(accepted, ground.base, moves))
        best = yield from self.fill(best, moves)
        best = yield from self.restyle(best, moves)
        return (yield from self.choose_recipes(best))

    def floats(self, point: Point) -> str:
        """How many of the ops that could be quantized are in float there, in words."""
        return f"{sum(self.is_float(point, u.id) for u in self.quantized)} of {len(self.quantized)} ops stay in float"

    def without_success(self, base: Point, how: str) -> str:
        """Explains that nothing was accepted, and why; the reason of the end."""
        if self.holds(base):
            self.explanation = (
                f"Fully quantized, the model keeps the limit but takes {base.cost:.2f} times what fp32 takes. "
                "Without what int8 slows down it is still no faster than fp32."
            )
            return "plans within the limit are no faster than fp32"
        self.explanation = f"{how}, and no plan on the way kept the limit and was faster than fp32. " + (
            f"Fully quantized, the best style loses {base.trial.excess + 1:.1f} times what is allowed."
            if math.isfinite(base.trial.excess)
            else "Fully quantized, the model could not be scored at all."
        )
        return "every fallback was tried and none keeps the limit"

    def _room(self, best: Point, base: Point, moves: Moves) -> float:
        """Error that may come back before the limit is broken: up to the least error of a plan that broke it.

        By divergence, if it grows in proportion to error. Where outputs cannot be compared, by the metrics' excess.
        """
        fallen = np.flatnonzero(moves.state(best.choices) & ~moves.nothing())
        won = moves.change(moves.nothing(), fallen, True)[0]
        before, after, limit = base.trial.excess, best.trial.excess, 0.0
        if base.trial.divergence is not None and best.trial.divergence is not None:
            before, after = base.trial.divergence, best.trial.divergence
            limit = min((d for d in self._broken() if d > after), default=before)
        if not math.isfinite(before) or before <= after:
            return won / 2
        return min(max((limit - after) / (before - after), 0.0), 1.0) * won

    def _broken(self) -> list[float]:
        """Divergences of the plans that broke the limit."""
        return [t.divergence for t in self.trials() if t.divergence is not None and not t.met]

    def _climb(self, base: Point, ladder: Ladder, moves: Moves, accepted: Point | None) -> Steps[Point | None]:
        """The fastest accepted plan on a ladder, or what was accepted before.

        Rungs 1, 2, 4 ... until one holds the limit, then between that and the last that does not. Every plan on the
        way is tried, none is taken for granted: accuracy does not always grow with the number of ops in float.
        """
        low, high, count, last = 0, 0, 1, len(ladder.steps)
        while low < last and not high:
            stop, accepted = yield from self._rung(base, ladder, count, moves, accepted)
            if stop:
                high = count
            else:
                low, count = count, min(2 * count, last)
        while high - low > max(1, _FINEST * high):
            middle = (low + high) // 2
            stop, accepted = yield from self._rung(base, ladder, middle, moves, accepted)
            low, high = (low, middle) if stop else (middle, high)
        return accepted

    def _rung(
        self, base: Point, ladder: Ladder, count: int, moves: Moves, accepted: Point | None
    ) -> Steps[tuple[bool, Point | None]]:
        """Whether a rung holds the limit, or is bound to be too slow; and the best accepted so far."""
        members = ladder.rung(count, moves.movable)
        spent = sum(self.costs.float_seconds.values())
        if accepted is not None and spent and base.cost + float(moves.savings[members].sum()) / spent > accepted.cost:
            return True, accepted
        state = moves.nothing()
        state[members] = True
        note, choices = f"{ladder.name} {len(members)} ops fall back", moves.choices(state)
        point = yield from self.attempt(choices, note, base.recipes)
        if point.trial.met:
            point = yield from self.attempt(choices, note, base.recipes, full=True)
        return point.trial.accepted, (yield from self.confirm([point], accepted)) or accepted

    def fill(self, best: Point, moves: Moves) -> Step:
        """Let quantized units fall back whose conversions cost more than they save."""
        state = moves.state(best.choices)
        for _ in range(_ISLANDS):
            move = next((m for m in moves.to_float(state) if m.seconds < 0), None)
            if move is None:
                break
            after = state.copy()
            after[move.members] = True
            point = yield from self.attempt(moves.choices(after), f"{move.name} saves conversions", best.recipes)
            better = yield from self.confirm([point], best)
            if better is None:
                break
            best, state = better, after
        return best

    def restyle(self, best: Point, moves: Moves) -> Step:
        """Quantize what is left in float in other styles."""
        left = {u.id for u in self.quantized if self.is_float(best, u.id) and self.costs.saving(u) > 0}
        usual, others = uniform_plans(self.space)
        errors = {u.id: float(e) for u, e in zip(self.space.units, moves.errors, strict=True)}
        for style in [*others, *usual[1:]][:_RESTYLES]:
            fast = {**best.choices, **{u: i for u, i in style.choices.items() if u in left}}
            restyled = Moves(self.space, self.costs, errors, fast, best.choices)
            best = yield from self.improve(
                best, restyled, math.inf, note=f" to {style.name}", patience=_RESTYLE_PATIENCE
            )
            left = {u for u in left if self.is_float(best, u)}
        return best


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
