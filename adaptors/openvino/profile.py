"""Seconds per op, from OpenVINO's own counters."""

from __future__ import annotations

import statistics
from dataclasses import replace
from itertools import pairwise

import openvino as ov

from autoq.adaptors.onnxrt.candidate import Source
from autoq.adaptors.openvino.build import build
from autoq.adaptors.openvino.candidate import OpenVinoCandidate, Origin, read
from autoq.adaptors.openvino.capabilities import offered
from autoq.adaptors.openvino.realized import ExecutedNode, OwnerIndex, executed
from autoq.adaptors.openvino.runtime import compile_model, reason
from autoq.core.adaptor import OpCosts
from autoq.core.batch import Inputs
from autoq.core.errors import TrialError
from autoq.core.plan import FP32_PLAN

_WARMUP, _WINDOWS, _RUNS = 2, 3, 8


def profile(candidate: OpenVinoCandidate, origin: Origin, inputs: Inputs) -> OpCosts:
    """Seconds of one batch by op id, the median of three means; nodes of no op add up to the overhead.

    Raises:
        TrialError: The runtime failed.
    """
    source = candidate.source
    if origin.quantized is None:
        # The prepared graph: its nodes have names, and are the ones the table speaks of.
        source = Source(build(origin.model, FP32_PLAN, None).proto.SerializeToString(), origin.model.folder, 0)
    fed = candidate.checked(inputs)
    totals: list[dict[str, float]] = []
    try:
        model = compile_model(read(source), replace(candidate.settings, counters=True))
        request = model.create_infer_request()
        for _ in range(_WARMUP):
            request.infer(fed, share_inputs=True)
        totals.append(_totals(request, _WARMUP))
        for window in range(1, _WINDOWS + 1):
            for _ in range(_RUNS):
                request.infer(fed, share_inputs=True)
            totals.append(_totals(request, _WARMUP + window * _RUNS))
        nodes = executed(model)
    except Exception as error:
        raise TrialError(f"profiling failed: {reason(error)}") from error
    windows = [{name: (later[name] - before[name]) / _RUNS for name in later} for before, later in pairwise(totals)]
    medians = {name: max(0.0, statistics.median(window[name] for window in windows)) for name in totals[0]}
    return _costs(nodes, medians, OwnerIndex(offered(origin.model.fusion)))


def _totals(request: ov.InferRequest, runs: int) -> dict[str, float]:
    """Seconds of all runs by node: OpenVINO tells the average over all of them, the first and slow one included."""
    return {entry.node_name: entry.real_time.total_seconds() * runs for entry in request.profiling_info}


def _costs(nodes: tuple[ExecutedNode, ...], seconds: dict[str, float], index: OwnerIndex) -> OpCosts:
    costs: dict[str, float] = {}
    for node in nodes:
        op = None if node.is_helper else index.first(node)
        if op is not None:
            costs[op.id] = costs.get(op.id, 0.0) + seconds.pop(node.name, 0.0)
    return OpCosts(costs, sum(seconds.values()))
