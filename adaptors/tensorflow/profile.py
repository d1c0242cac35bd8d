"""Seconds per op, from TensorFlow's own step statistics."""

from __future__ import annotations

import statistics
from collections.abc import Mapping

from autoq.adaptors.tensorflow.candidate import TensorFlowCandidate, checked
from autoq.adaptors.tensorflow.fusion import Fusion
from autoq.adaptors.tensorflow.realized import OwnerIndex, executed
from autoq.adaptors.tensorflow.session import FAILURES, GraphSession, RunMetadata, reason
from autoq.core.adaptor import OpCosts
from autoq.core.batch import Inputs
from autoq.core.errors import TrialError

_WARMUP, _RUNS = 2, 9


def profile(candidate: TensorFlowCandidate, fusion: Fusion, inputs: Inputs) -> OpCosts:
    """Median seconds of one batch by op id; conversions and nodes of no op add up to the overhead.

    Raises:
        DataError: The batch does not fit the model.
        TrialError: The runtime failed.
    """
    frozen = candidate.source.frozen
    arrays = checked(inputs, frozen.inputs)
    session: GraphSession | None = None
    try:
        session = GraphSession(
            candidate.source.proto, frozen.input_tensors, frozen.output_tensors, candidate.settings.with_trace()
        )
        for _ in range(_WARMUP):
            session.run(arrays)
        runs = [session.recorded(arrays) for _ in range(_RUNS)]
    except FAILURES as error:
        raise TrialError(f"profiling failed: {reason(error)}") from error
    finally:
        if session is not None:
            session.close()
    durations = [_durations(metadata) for metadata in runs]
    medians = {name: statistics.median(run.get(name, 0.0) for run in durations) for name in durations[0]}
    conversions = {node.name for node in executed(runs[0]) if node.is_conversion}
    return _costs(medians, conversions, OwnerIndex(fusion))


def _durations(metadata: RunMetadata) -> dict[str, float]:
    """Seconds in the kernel of each node."""
    found: dict[str, float] = {}
    for device in metadata.step_stats.dev_stats:
        for node in device.node_stats:
            seconds = max(0, node.op_end_rel_nanos - node.op_start_rel_nanos) * 1e-9
            found[node.node_name] = found.get(node.node_name, 0.0) + seconds
    return found


def _costs(seconds: Mapping[str, float], conversions: set[str], index: OwnerIndex) -> OpCosts:
    costs: dict[str, float] = {}
    overhead = 0.0
    for name, spent in seconds.items():
        op = None if name in conversions else index.find(name)
        if op is None:
            overhead += spent
        else:
            costs[op.id] = costs.get(op.id, 0.0) + spent
    return OpCosts(costs, overhead)
