"""Falls back by measured effect on the final output, measured anew after each step."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from autoq.core.capability import Recipe
from autoq.core.errors import ConfigError
from autoq.core.inquiry import Need
from autoq.core.plan import LatencyEffort, Proposal
from autoq.core.space import Space
from autoq.core.strategy import Costs
from autoq.core.trial import Trial
from autoq.strategies.descent import Descent, Ground
from autoq.strategies.fallback import Move, Moves, State
from autoq.strategies.points import Point
from autoq.strategies.sequential import Search, Steps, tried

_ROUNDS = 60
_PROGRESS = 0.2
"""Share of the divergence that a step must win to be preferred for its rate."""

_LARGEST = 0.5
"""Share of what is still quantized that one step may move."""


@dataclass(frozen=True)
class _Measured:
    """A candidate, and the divergence that was measured with it in float."""

    move: Move
    divergence: float

    def won(self, before: float) -> float:
        """Divergence won, against that of the plan before."""
        return before - self.divergence


class MseV2(Descent):
    """Falls back one unit or stretch at a time, the one that is measured to help the final output most.

    1. Uniform plans, as in `basic`: the fully quantized one, other styles where it loses too much, recipes.
    2. ``Need.SENSITIVITY`` (else ``Need.LOCAL_ERROR``, else cost alone) says which units are suspect.
    3. In each round a handful of candidates, the most suspect units and stretches of different lengths, is measured:
       the divergence of the final output on a few samples with that candidate in float, too. The one that wins most
       per second lost, boundaries counted, stays in float; what was measured corrects the suspicions, for units and
       for what they share with their neighbours. Each plan reached is tried, until one holds the limit.
    4. What fits below the limit is quantized again, least harmful one by one at the end; then islands and recipes, as
       in `mse`.

    Args:
        space: What may be chosen.
        costs: Seconds by op.
        seed: Not used: the search is deterministic.
        screen: Samples of a screening where an evaluation does not stop by itself; by default a third of all, at
            least 64.
        candidates: Candidates that are measured in a round.
        samples: Samples of such a measurement.

    Raises:
        ConfigError: `screen`, `candidates` or `samples` is below 1.
    """

    def __init__(
        self,
        space: Space,
        costs: Costs,
        seed: int,
        *,
        screen: int | None = None,
        candidates: int = 6,
        samples: int = 32,
    ) -> None:
        super().__init__(space, costs, seed, screen=screen)
        for key, value in (("candidates", candidates), ("samples", samples)):
            if value < 1:
                raise ConfigError(f"strategy.{key} must be at least 1, not {value}")
        self._candidates = candidates
        self._samples = samples
        self._probed: dict[str, Trial] = {}

    def search(self) -> Search:
        """The whole search; see the class."""
        ground = yield from self.start()
        reason = self.finished(ground)
        if reason is not None:
            return reason
        findings = yield from self.sensed(ground, Need.SENSITIVITY, Need.LOCAL_ERROR)
        moves = self.moves(ground, findings)
        accepted, rounds = yield from self._descend(ground, moves)
        how = f"In {rounds} rounds, the ops whose fallback helped the final output most, as measured, fell back"
        if accepted is None:
            return self.without_success(ground.base, how)
        best = yield from self.finish(accepted, ground, moves)
        self.explanation = (
            f"{how}, until the limit held. "
            "Then the least harmful were quantized again while the limit held and the model got faster; "
            f"{self.floats(best)}."
        )
        return "nothing more could be quantized again within the limit"

    def _descend(self, ground: Ground, moves: Moves) -> Steps[tuple[Point | None, int]]:
        """Fall back until the limit holds; the best accepted plan, or None, and the rounds it took."""
        base, state = ground.base, moves.nothing()
        error = _error_of(base.trial)
        for count in range(1, _ROUNDS + 1):
            measured: list[_Measured] = []
            for move in self._suspects(moves, state):
                after = state.copy()
                after[move.members] = True
                trial = yield from self._probe(moves.choices(after), base.recipes, move.name)
                measured.append(_Measured(move, _error_of(trial)))
            if not measured:
                return ground.accepted, count - 1
            best = _best(measured, error, moves.conversion)
            moves.learn([(state, m.move.members, m.won(error)) for m in measured if math.isfinite(m.won(error))])
            state = state.copy()
            state[best.move.members] = True
            point = yield from self.attempt(moves.choices(state), f"+ {best.move.name} falls back", base.recipes)
            accepted = yield from self.confirm([point], ground.accepted)
            if accepted is not None:
                return accepted, count
            if ground.accepted is not None and point.cost >= ground.accepted.cost:
                return ground.accepted, count
            error = _error_of(point.trial)
        return ground.accepted, _ROUNDS

    def _suspects(self, moves: Moves, state: State) -> list[Move]:
        """The best by rate of each length class (1, 2 to 3, 4 to 7 ... units): as many as are to be measured."""
        quantized = int((~state[moves.movable]).sum())
        largest: dict[int, Move] = {}
        for move in moves.to_float(state):
            if len(move.members) <= max(_LARGEST * quantized, 1) and len(move.members) < quantized:
                largest.setdefault(int(math.log2(len(move.members))), move)
        ordered = sorted(largest.values(), key=lambda m: -m.rate)
        chosen = ordered[: self._candidates]
        longest = max(ordered, key=lambda m: len(m.members), default=None)
        if longest is not None and longest not in chosen:
            chosen[-1] = longest  # without it, a network of many ops would come down too slowly
        return chosen

    def _probe(self, choices: Mapping[str, int], recipes: tuple[Recipe, ...], name: str) -> Steps[Trial]:
        """A few samples of a plan, without a latency: the divergence is what matters."""
        note = f"what if {name} fell back"
        if self.costs.samples <= self._samples or self.screen == self._samples:
            return (yield from self.attempt(choices, note, recipes)).trial
        plan = self.space.plan(choices, recipes)
        known = self.seen(plan) or self._probed.get(plan.digest)
        if known is None:
            proposal = Proposal(plan, self._samples, LatencyEffort.NONE, note)
            known = self._probed[plan.digest] = yield from tried(proposal)
        return known


def _error_of(trial: Trial) -> float:
    """The divergence; where outputs cannot be compared, the loss in limits; infinite for a failed trial."""
    if math.isinf(trial.excess):
        return math.inf
    return trial.divergence if trial.divergence is not None else trial.excess


def _best(measured: list[_Measured], before: float, least_seconds: float) -> _Measured:
    """Most error won per second among the moves that win a fair part; else what wins most; else the longest."""
    finite = [m for m in measured if math.isfinite(m.divergence)]
    if not finite:
        return max(measured, key=lambda m: len(m.move.members))
    if not math.isfinite(before):
        return min(finite, key=lambda m: m.divergence)
    worth = [m for m in finite if m.won(before) >= _PROGRESS * abs(before)]
    if worth:
        return max(worth, key=lambda m: (m.won(before)) / max(m.move.seconds, least_seconds, 1e-12))
    return min(finite, key=lambda m: m.divergence)
