"""Seconds per op, from OpenVINO's own counters."""

from __future__ import annotations

import statistics
from dataclasses import replace

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

_RUNS = 12


def profile(candidate: OpenVinoCandidate, origin: Origin, inputs: Inputs) -> OpCosts:
    """Median seconds of one batch by op id; nodes of no op add up to the overhead.

    Raises:
        TrialError: The runtime failed.
    """
    source = candidate.source
    if origin.quantized is None:
        # The prepared graph: its nodes have names, and are the ones the table speaks of.
        source = Source(build(origin.model, FP32_PLAN, None).proto.SerializeToString(), origin.model.folder, 0)
    fed = candidate.checked(inputs)
    seconds: dict[str, list[float]] = {}
    try:
        model = compile_model(read(source), replace(candidate.settings, counters=True))
        request = model.create_infer_request()
        for _ in range(_RUNS):
            request.infer(fed, share_inputs=True)
            for entry in request.profiling_info:
                seconds.setdefault(entry.node_name, []).append(entry.real_time.total_seconds())
        nodes = executed(model)
    except Exception as error:
        raise TrialError(f"profiling failed: {reason(error)}") from error
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    return _costs(nodes, medians, OwnerIndex(offered(origin.model.fusion)))


def _costs(nodes: tuple[ExecutedNode, ...], seconds: dict[str, float], index: OwnerIndex) -> OpCosts:
    costs: dict[str, float] = {}
    for node in nodes:
        op = None if node.is_helper else index.first(node)
        if op is not None:
            costs[op.id] = costs.get(op.id, 0.0) + seconds.pop(node.name, 0.0)
    return OpCosts(costs, sum(seconds.values()))
