"""Falls back by each op's own error on calibration data."""

from __future__ import annotations

from autoq.core.inquiry import Need
from autoq.strategies.descent import Descent
from autoq.strategies.sequential import Search


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
        ground = yield from self.start()
        reason = self.finished(ground)
        if reason is not None:
            return reason
        findings = yield from self.sensed(ground, Need.LOCAL_ERROR)
        moves = self.moves(ground, findings)
        accepted = yield from self.climb_all(ground, moves, moves.errors, "worst")
        how = "Ops were ranked by the error each makes by itself on calibration data"
        if not findings.values:
            how = f"Ops were ranked by what they cost in float, as their errors are not known ({findings.reason})"
        if accepted is None:
            return self.without_success(ground.base, f"{how} and fell back worst first, singly and in stretches")
        best = yield from self.finish(accepted, ground, moves)
        self.explanation = (
            f"{how}, and fell back worst first and in stretches until the limit held. "
            f"Then what does not hurt was quantized again; {self.floats(best)}."
        )
        return "nothing more could be quantized again within the limit"
