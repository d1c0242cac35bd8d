"""Moves between float and quantized: what they win and cost, counted for units and for the boundaries between them.

The error of a quantized op belongs in part to the tensors it shares with its neighbours: an op that runs in float
between quantized neighbours still reads and writes quantized tensors, and pays for the conversions. So a unit's error
counts as won in full only when its neighbours run in float, too, and every edge between a float and a quantized unit
costs time. What follows prefers stretches to single units, unless a single one stands out.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autoq.core.space import Space
from autoq.core.strategy import Costs
from autoq.strategies.regions import by_type

SHARED = 0.5
"""Share of a unit's error that it is believed to have by the tensors it shares with its neighbours."""

CONVERSION = 0.2
"""Cost of one boundary, as a share of what quantizing a unit saves on average."""

_CUTS = 64
"""Places, evenly spaced, where stretches of a long network may begin and end."""

_CHUNK = 256
"""States that are evaluated at once."""

_MOST_SHARED = 0.9
_LEAST_RATIO = 1 / 16
"""How far a measurement may be from what was believed, either way, before the rest is taken for noise."""

_NEARLY = 0.8
"""Share of the best rate from which on a move is as good as the best."""

State = NDArray[np.bool_]
"""``bool [units]``, in the order of ``space.units``: which units run in float."""


@dataclass(frozen=True, eq=False)
class Move:
    """Units that change together, and what their change is believed to mean.

    Attributes:
        name: For the history.
        members: ``intp [k]``, indices into ``space.units``.
        error: Error won by float, or added by quantizing; in the unit of the errors given to `Moves`.
        seconds: Seconds lost by float, or won by quantizing, conversions included.
    """

    name: str
    members: NDArray[np.intp]
    error: float
    seconds: float

    @property
    def rate(self) -> float:
        """Error per second: how good a move to float is, and how bad a move to quantized; infinite where it is free."""
        if self.seconds <= 0:
            return math.inf
        return self.error / self.seconds


class Moves:
    """Values moves between float and quantized.

    To list all moves costs time linear in units and edges for each stretch; of these there are at most some 2,000,
    however long the network.

    Args:
        space: What is searched.
        costs: Seconds by op.
        errors: Error of each unit when it is quantized, by unit id, larger is worse; units that are missing, or whose
            error is not a number, count as the median of the others.
        fast: The choices in which nothing has fallen back.
        safe: The choices to which units fall back, usually float.
        share: How much of what quantizing saves lies between `fast` and `safe`; 1 for float.
    """

    def __init__(
        self,
        space: Space,
        costs: Costs,
        errors: Mapping[str, float],
        fast: Mapping[str, int],
        safe: Mapping[str, int],
        share: float = 1.0,
    ) -> None:
        self.space = space
        self.fast = np.array([fast.get(u.id, 0) for u in space.units], np.intp)
        self.safe = np.array([safe.get(u.id, 0) for u in space.units], np.intp)
        self.movable = np.flatnonzero(self.fast != self.safe)
        self.shared = SHARED
        self._measured: list[tuple[float, float]] = []  # share of neighbours in float, error won per error believed
        self.errors = _filled(np.array([errors.get(u.id, math.nan) for u in space.units]))
        self.savings = share * np.array([costs.saving(u) for u in space.units])
        positive = self.savings[self.movable][self.savings[self.movable] > 0]
        self.conversion = CONVERSION * float(positive.mean()) if len(positive) else 0.0
        self._from, self._to, self._ends = _edges(space)
        count = len(space.units)
        self._degree = np.bincount(self._from, minlength=count) + np.bincount(self._to, minlength=count) + self._ends
        self._stretches = self._all_stretches()

    def state(self, choices: Mapping[str, int]) -> State:
        """Which units are in float, or have fallen back, under these choices."""
        taken = np.array([choices.get(u.id, 0) for u in self.space.units], np.intp)
        floats = np.array([u.precisions[i].is_float for u, i in zip(self.space.units, taken, strict=True)], np.bool_)
        state: State = floats | ((taken == self.safe) & (self.fast != self.safe))
        return state

    def choices(self, state: State) -> dict[str, int]:
        """The choices in which the units that may move have fallen back as `state` says."""
        chosen = np.where(state, self.safe, self.fast)
        chosen = np.where(self.fast == self.safe, self.fast, chosen)
        return {u.id: int(i) for u, i in zip(self.space.units, chosen, strict=True)}

    def nothing(self) -> State:
        """The state in which nothing has fallen back."""
        return self.state({u.id: int(i) for u, i in zip(self.space.units, self.fast, strict=True)})

    def to_float(self, state: State) -> list[Move]:
        """Every single unit and stretch that is not float yet, best rate first."""
        return sorted(self._moves(state, True), key=lambda m: (-m.rate, m.seconds, -len(m.members)))

    def to_quantized(self, state: State) -> list[Move]:
        """Every single unit and stretch that is not quantized yet and is believed to save time, lowest rate first."""
        found = [m for m in self._moves(state, False) if m.seconds > 0]
        return sorted(found, key=lambda m: (m.rate, -m.seconds))

    def change(self, state: State, members: NDArray[np.intp], to_float: bool) -> tuple[float, float]:
        """What moving these units means: error and seconds, of the same signs as those of `Move`."""
        changed = state.copy()
        changed[members] = to_float
        error, seconds = self._values(np.stack([state, changed]))
        sign = 1.0 if to_float else -1.0
        return sign * float(error[1] - error[0]), sign * float(seconds[1] - seconds[0])

    def learn(self, won: Sequence[tuple[State, NDArray[np.intp], float]]) -> None:
        """Correct what is believed by what moves to float have won.

        First for boundaries: how much of an error is shared with the neighbours is the slope of what was won over the
        share of neighbours in float, by least squares with two observations' worth of trust in `SHARED`. Then for
        units: what a move won beyond that, or did not, is spread over its units, halfway (the square root of the
        ratio), as one measurement says little of each.

        Args:
            won: The state before, the units that moved to float, and the error won, in a unit of its own but always
                the same; of moves that were not learned from before.
        """
        parts: list[NDArray[np.intp]] = []
        for state, members, win in won:
            after = state.copy()
            after[members] = True
            alone, together, _ = self._parts(np.stack([state, after]))
            if alone[1] > alone[0]:
                parts.append(members)
                own = alone[1] - alone[0]
                self._measured.append((float((together[1] - together[0]) / own), float(win / own)))
        if not parts:
            return
        near, rate = np.array(self._measured).T
        scale = float(np.median(rate / (1 - SHARED + SHARED * near)))
        if scale <= 0:
            return
        design = np.stack([np.ones(len(near) + 2), np.append(near, [0.0, 1.0])], axis=1)
        target = np.append(rate, [(1 - SHARED) * scale, scale])
        (base, slope), *_ = np.linalg.lstsq(design, target, rcond=None)
        if base + slope <= 0:
            return
        self.shared = float(min(max(slope / (base + slope), 0.0), _MOST_SHARED))
        believed = (base + slope) * (1 - self.shared + self.shared * near)
        ratios = np.clip(rate / np.maximum(believed, 1e-300), _LEAST_RATIO, 1 / _LEAST_RATIO)
        for members, ratio in zip(parts, ratios[-len(parts) :], strict=True):
            self.errors[members] *= math.sqrt(ratio)

    def greedy(self, state: State) -> list[NDArray[np.intp]]:
        """Units to move to float, step by step, each step about the best rate given those before.

        Rates are brought up to date only for what comes first, and what is then still nearly the best is taken.
        """
        state = state.copy()
        moves = self.to_float(state)
        heap = [(-m.rate, m.seconds, n) for n, m in enumerate(moves)]
        heapq.heapify(heap)
        steps: list[NDArray[np.intp]] = []
        now = self._values(state[None])
        while heap:
            _, _, n = heapq.heappop(heap)
            members = moves[n].members[~state[moves[n].members]]
            if not len(members):
                continue
            after = state.copy()
            after[members] = True
            then = self._values(after[None])
            move = Move("", members, float(then[0][0] - now[0][0]), float(then[1][0] - now[1][0]))
            if heap and move.rate < _NEARLY * -heap[0][0]:
                heapq.heappush(heap, (-move.rate, move.seconds, n))
                continue
            state, now = after, then
            steps.append(members)
        return steps

    def _moves(self, state: State, to_float: bool) -> list[Move]:
        free = self.movable[state[self.movable] != to_float]
        errors, seconds = self._single(state, free)
        units = self.space.units
        found = [
            Move(units[i].id, np.array([i], np.intp), float(e), float(s))
            for i, e, s in zip(free, errors, seconds, strict=True)
        ]
        best_first = sorted(range(len(found)), key=lambda n: (-found[n].rate, n) if to_float else (found[n].rate, n))
        return found + self._larger_moves(state, to_float, free[best_first])

    def _single(self, state: State, units: NDArray[np.intp]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Error and seconds between quantized and float, of each unit alone while the others stay as they are."""
        count = len(state)
        by_float = state / self._degree * self.errors
        near = np.bincount(self._from, state[self._to], count) + np.bincount(self._to, state[self._from], count)
        near += self._ends
        given = np.bincount(self._from, by_float[self._to], count) + np.bincount(self._to, by_float[self._from], count)
        errors = self.errors * (1 - self.shared + self.shared * near / self._degree) + self.shared * given
        seconds = self.savings + self.conversion * (self._degree - 2 * near)
        return errors[units], seconds[units]

    def _larger_moves(self, state: State, to_float: bool, ranked: NDArray[np.intp]) -> list[Move]:
        """Stretches, op types, and the 2, 4, 8 ... units that are best by rate alone."""
        names, masks = self._stretches
        sizes = [2**k for k in range(1, max(len(ranked) - 1, 0).bit_length())]
        best = np.zeros((len(sizes), len(state)), np.bool_)
        for row, size in enumerate(sizes):
            best[row, ranked[:size]] = True
        names = [*names, *(f"{size} {'most' if to_float else 'least'} sensitive ops" for size in sizes)]
        masks = np.concatenate([masks, best])
        changed = masks & (state != to_float)
        several = np.flatnonzero(changed.sum(axis=1) > 1)
        _, first = np.unique(np.packbits(changed[several], axis=1), axis=0, return_index=True)
        rows = several[np.sort(first)]
        if not len(rows):
            return []
        after = masks[rows] | state if to_float else state & ~masks[rows]
        error, seconds = self._values(after)
        error_now, seconds_now = self._values(state[None])
        sign = 1.0 if to_float else -1.0
        return [
            Move(names[row], np.flatnonzero(changed[row]), sign * float(e - error_now[0]), sign * float(s))
            for row, e, s in zip(rows, error, seconds - seconds_now[0], strict=True)
        ]

    def _values(self, states: State) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Error won and seconds lost of states ``[m, units]`` against the state in which nothing is float."""
        alone, together, seconds = self._parts(states)
        return (1 - self.shared) * alone + self.shared * together, seconds

    def _parts(self, states: State) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Errors of the float units, the same by the share of their neighbours that is float, and seconds lost."""
        weight = self.errors / self._degree
        pair = weight[self._from] + weight[self._to]
        alone, together, seconds = [], [], []
        for start in range(0, len(states), _CHUNK):
            some = states[start : start + _CHUNK]
            left, right = some[:, self._from], some[:, self._to]
            alone.append(some @ self.errors)
            together.append(some @ (weight * self._ends) + (left & right) @ pair)  # inputs and outputs are float
            boundaries = (left ^ right).sum(axis=1) - some @ self._ends
            seconds.append(some @ self.savings + self.conversion * boundaries)
        return np.concatenate(alone), np.concatenate(together), np.concatenate(seconds)

    def _all_stretches(self) -> tuple[list[str], State]:
        """Prefixes, suffixes and blocks of all scales, and op types; only of what may move."""
        spans = _spans(len(self.movable))
        types = by_type([self.space.units[i] for i in self.movable])
        masks = np.zeros((len(spans) + len(types), len(self.space.units)), np.bool_)
        for row, (start, stop) in enumerate(spans):
            masks[row, self.movable[start:stop]] = True
        for row, region in enumerate(types, len(spans)):
            masks[row, [i for i in self.movable if self.space.units[i].id in region.units]] = True
        return [*(_name(a, b, len(self.movable)) for a, b in spans), *(r.name for r in types)], masks


def _edges(space: Space) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """Producers and consumers of the edges, and how often each unit meets the model's input or output.

    Where the space knows no edges at all, units are taken for a chain.
    """
    index = {u.id: i for i, u in enumerate(space.units)}
    pairs = [(index[a], index[b]) for a, b in space.edges] or [(i, i + 1) for i in range(len(index) - 1)]
    sources = np.array([a for a, _ in pairs], np.intp)
    targets = np.array([b for _, b in pairs], np.intp)
    inward = np.bincount(targets, minlength=len(index)) == 0
    outward = np.bincount(sources, minlength=len(index)) == 0
    return sources, targets, inward.astype(np.intp) + outward.astype(np.intp)


def _filled(errors: NDArray[np.float64]) -> NDArray[np.float64]:
    known = errors[np.isfinite(errors)]
    return np.where(np.isfinite(errors), errors, np.median(known) if len(known) else 1.0)


def _spans(count: int) -> list[tuple[int, int]]:
    """Half-overlapping blocks of 2, 4, 8 ... units, prefixes and suffixes; the whole is none of them."""
    found: dict[tuple[int, int], None] = {}
    grid = max(count // _CUTS, 1)
    for n in range(grid, count, grid):
        found[0, n] = None
        found[count - n, count] = None
    size = 2
    while size < count:
        for start in range(0, count - size + 1, max(size // 2, grid)):
            found[start, start + size] = None
        size *= 2
    return [(a, b) for a, b in found if b - a > 1]


def _name(start: int, stop: int, count: int) -> str:
    if start == 0:
        return f"first {stop} ops"
    return f"last {stop - start} ops" if stop == count else f"ops {start + 1} to {stop}"


@dataclass(frozen=True, eq=False)
class Ladder:
    """Growing sets of units in float: rung k holds the steps up to the k-th.

    Attributes:
        name: What orders the steps, for the history.
        steps: Indices into ``space.units`` that each step adds.
        close: Whether a quantized unit alone between two float ones goes with them.
    """

    name: str
    steps: Sequence[NDArray[np.intp]]
    close: bool = False

    def rung(self, count: int, order: NDArray[np.intp]) -> NDArray[np.intp]:
        """The units of the first `count` steps; `order` are the units that may move, in execution order."""
        moved = np.isin(order, np.concatenate(self.steps[:count]))
        if self.close and len(order) > 2:
            moved[1:-1] |= moved[:-2] & moved[2:]
        return order[moved]
