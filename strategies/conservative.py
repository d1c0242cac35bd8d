"""From fp32 up: quantizes what saves most per harm, and never leaves the limit."""

from __future__ import annotations

from autoq.core.inquiry import Need
from autoq.core.space import Unit
from autoq.strategies.descent import Descent
from autoq.strategies.fallback import Moves
from autoq.strategies.sequential import Search, found

_FIRST = 1 / 6
"""Share of the error of all units that the first step may add."""

_SLOWER = 1.02
"""A step may cost this much by the noise of a quick measurement."""

_GROWTH = 2.0


class Conservative(Descent):
    """Starts from fp32 and quantizes part by part, each step only if the limit still holds.

    1. ``Need.SENSITIVITY`` of the fully quantized plan; where there is none, all ops count the same.
    2. Blocks, op types, stretches or the least sensitive ops: whatever saves most among the parts whose error is small
       enough for a step. Steps grow while they succeed and shrink when they do not, down to single ops. A step stays
       if the whole plan holds the limit, on all samples, and is not slower.
    3. Islands between float ops that only cost conversions go back to float; what is still float is tried in other
       styles of quantization; then the recipes.

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
        fast = {u.id: _first_quantized(u) for u in self.quantized}
        safe = {u.id: u.float_index or 0 for u in self.space.units}
        moves = Moves(self.space, self.costs, findings.values, fast, safe)
        # In the plan to start from all is float that may be: it was told, unless the job forbids float somewhere.
        best = yield from self.attempt(safe, "float where the job allows it")
        room = _FIRST * float(moves.errors[moves.movable].sum())
        best = yield from self.improve(best, moves, room, slack=_SLOWER, growth=_GROWTH)
        best = yield from self.fill(best, moves)
        best = yield from self.restyle(best, moves)
        if best.trial.accepted and best.cost < 1:
            best = yield from self.choose_recipes(best)
        order = "latency saved and error added" if findings.values else "latency saved"
        self.explanation = (
            f"Started from fp32 and quantized part by part, chosen by {order}; {self.floats(best)}. "
            "Each step was kept only if the whole plan held the limit and was not slower."
        )
        quantized = any(not self.is_float(best, u.id) for u in self.quantized)
        return "nothing more can be quantized within the limit" if quantized else "no part can be quantized"


def _first_quantized(unit: Unit) -> int:
    return next(i for i, p in enumerate(unit.precisions) if not p.is_float)
