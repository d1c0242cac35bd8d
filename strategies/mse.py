"""Falls back by each op's own error on calibration data."""

from __future__ import annotations

from autoq.core.inquiry import Need
from autoq.strategies.descent import Descent
from autoq.strategies.fallback import Moves
from autoq.strategies.sequential import Search, found


class Mse(Descent):
    """Ranks ops by the error each makes by itself, and moves the worst to float.

    1. Uniform plans, as in `basic`: the fully quantized one, other styles where it loses too much, recipes.
    2. One streaming pass tells the relative squared error of each op's own output (``Need.LOCAL_ERROR``).
    3. Growing parts in float, the number of steps doubled until the limit holds and then halved in between, along
       three ladders: the worst ops first; the stretches that hold the most error per second, boundaries counted; and
       contiguously from the end of the model with the larger errors. Ladders and rungs that cannot beat what is
       accepted, by the measured seconds of their ops, are left out.
    4. What does not hurt is quantized again; quantized islands that only cost conversions are moved to float; the
       other recipes are tried on what was found.

    Where there are no local errors, all ops count the same, so that cheap ones fall back first.

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
        base, accepted = yield from self.start()
        if accepted is not None:
            self.explanation = (
                f"A uniform plan keeps the limit at {accepted.cost:.2f} times the cost of fp32. "
                "So no op had to fall back to float, and no errors were measured."
            )
            return "a uniform plan keeps the limit"
        if self.holds(base):
            return self.without_success(base, "")
        findings = yield from found(Need.LOCAL_ERROR, base.trial.plan)
        moves = Moves(self.space, self.costs, findings.values)
        ranking = self.ranked(base, moves, moves.errors, "worst")
        for ladder in (ranking, self.stretches(base, moves), self.from_an_end(base, moves)):
            accepted = yield from self.climb(base, ladder, moves, accepted)
        how = "Ops were ranked by the error each makes by itself on calibration data"
        if not findings.values:
            how = f"Ops were ranked by what they cost in float, as their errors are not known ({findings.reason})"
        if accepted is None:
            return self.without_success(base, f"{how} and moved to float worst first, singly and in stretches")
        best = yield from self.finish(accepted, base, moves)
        self.explanation = (
            f"{how}, and moved to float worst first and in stretches until the limit held. "
            f"Then what does not hurt was quantized again; {self.floats(best)} of {len(self.quantized)} stay in float."
        )
        return "nothing more could be quantized again within the limit"
