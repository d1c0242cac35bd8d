"""Falls back by second-order sensitivity of the weights, in the manner of HAWQ-V2."""

from __future__ import annotations

import numpy as np

from autoq.core.inquiry import Need
from autoq.strategies.descent import Descent
from autoq.strategies.sequential import Search, found


class HawqV2(Descent):
    """Ranks ops by Hessian trace × squared weight perturbation per second saved, and moves the worst to float.

    HAWQ-V2 (Dong et al., "HAWQ-V2: Hessian Aware trace-Weighted Quantization of Neural Networks", NeurIPS 2020)
    chooses precisions by the sum over layers of the average Hessian trace times ``‖Q(W) − W‖²`` under a bound on cost.
    Here the bound is on accuracy and cost is what becomes small: ops fall back in the order of that sensitivity per
    saved second, as far as measured trials ask for it.

    1. ``Need.CURVATURE`` of the fully quantized plan. Where it is not available the search ends at once.
    2. Uniform plans, as in `basic`.
    3. Growing parts in float along three ladders, as in `mse`: single ops by sensitivity per second; stretches,
       boundaries counted; contiguously from the end of the model with the larger sensitivities.
    4. What fits below the limit is quantized again; then islands and recipes, as in `mse`.

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
        findings = yield from found(Need.CURVATURE, self.space.full_plan())
        if not findings.values:
            why = f": {findings.reason}" if findings.reason else ""
            self.explanation = (
                f"hawq_v2 needs the curvature of the loss, which this framework does not give{why}. "
                "Nothing was tried; `mse` and `mse_v2` rank ops by measured errors and work with every framework."
            )
            return (
                f"no curvature here{why}; hawq_v2 works with pytorch_eager, pytorch_fx and pytorch_pt2e, "
                "for other frameworks use strategy mse_v2 or mse"
            )
        ground = yield from self.start()
        reason = self.finished(ground)
        if reason is not None:
            return reason
        how = "Ops were ranked by Hessian trace times squared weight perturbation, per second that quantizing saves"
        moves = self.moves(ground, findings)
        rates = moves.errors / np.maximum(moves.savings, np.finfo(float).tiny)
        accepted = yield from self.climb_all(ground, moves, rates, "most sensitive")
        if accepted is None:
            return self.without_success(ground.base, f"{how}, and fell back in that order and in stretches")
        best = yield from self.finish(accepted, ground, moves)
        self.explanation = (
            f"{how}, and fell back in that order and in stretches until the limit held. "
            f"Then what fits was quantized again; {self.floats(best)}."
        )
        return "by curvature, nothing more could be quantized again within the limit"
