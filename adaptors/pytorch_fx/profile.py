"""Seconds per op, node by node of the graph that runs."""

from __future__ import annotations

import statistics
import time
from typing import Any

from torch.fx import GraphModule, Interpreter, Node

from autoq.adaptors.pytorch.candidate import TorchCandidate
from autoq.adaptors.pytorch.execution import first_line
from autoq.adaptors.pytorch.guard import running
from autoq.adaptors.pytorch_fx.graph import marked, placed
from autoq.core.adaptor import OpCosts
from autoq.core.batch import Inputs
from autoq.core.errors import TrialError

_WARMUP, _RUNS = 2, 7


def profile(candidate: TorchCandidate, graph_module: GraphModule, inputs: Inputs) -> OpCosts:
    """Median seconds of one batch by op id; nodes of no op, and conversions, add up to the overhead.

    Raises:
        DataError: The batch does not fit.
        TrialError: The model failed.
    """
    args, kwargs = candidate.signature.bind(inputs)
    runs: list[dict[str | None, float]] = []
    with running(candidate.options.threads):
        for _ in range(_WARMUP + _RUNS):
            clock = _Clock(graph_module)
            try:
                clock.run(*placed(graph_module, args, kwargs))
            except Exception as error:
                raise TrialError(f"the model failed while it was profiled: {first_line(error)}") from error
            runs.append(clock.seconds)
    measured = runs[_WARMUP:]
    medians = {op: statistics.median(run.get(op, 0.0) for run in measured) for op in measured[-1]}
    overhead = medians.pop(None, 0.0)
    return OpCosts({op: seconds for op, seconds in medians.items() if op is not None}, overhead)


class _Clock(Interpreter):  # type: ignore[misc]
    def __init__(self, graph_module: GraphModule) -> None:
        super().__init__(graph_module)
        self.extra_traceback = False
        self.seconds: dict[str | None, float] = {}

    def run_node(self, n: Node) -> Any:
        """One node, timed."""
        started = time.perf_counter()
        result = super().run_node(n)
        op = marked(n)
        self.seconds[op] = self.seconds.get(op, 0.0) + time.perf_counter() - started
        return result
