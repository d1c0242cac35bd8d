"""Seconds per op, from ONNX Runtime's own profiler."""

from __future__ import annotations

import json
import statistics
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx

from autoq.adaptors.onnxrt.candidate import OnnxCandidate
from autoq.adaptors.onnxrt.realized import OwnerIndex
from autoq.adaptors.onnxrt.session import SessionSettings, make_session, reason, specs
from autoq.core.adaptor import OpCosts
from autoq.core.batch import Inputs
from autoq.core.errors import TrialError
from autoq.core.feeding import feed

_RUNS = 12


def profile(candidate: OnnxCandidate, index: OwnerIndex, inputs: Inputs) -> OpCosts:
    """Median seconds of one batch by op id; nodes of no op add up to the overhead.

    Raises:
        TrialError: The runtime failed.
    """
    with tempfile.TemporaryDirectory(prefix="autoq-profile-") as name:
        folder = Path(name)
        settings = SessionSettings(
            threads=candidate.options.threads,
            folder=candidate.source.folder,
            profile=folder / "trace",
            optimized=folder / "optimized.onnx",
            weights="optimized.data",
        )
        try:
            session = make_session(candidate.source.model, settings)
            fed = feed(inputs, specs(session.get_inputs()))
            for _ in range(_RUNS):
                session.run(None, fed)
            trace = Path(session.end_profiling())
        except Exception as error:
            raise TrialError(f"profiling failed: {reason(error)}") from error
        events: list[dict[str, Any]] = json.loads(trace.read_text(encoding="utf-8"))
        optimized = onnx.load(folder / "optimized.onnx", load_external_data=False)
        outputs = {node.name: tuple(node.output) for node in optimized.graph.node}
    return _costs(_durations(events), index, outputs)


def _durations(events: list[dict[str, Any]]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for event in events:
        name = event.get("name", "")
        if event.get("cat") == "Node" and name.endswith("_kernel_time"):
            found.setdefault(name.removesuffix("_kernel_time"), []).append(event["dur"] * 1e-6)
    return found


def _costs(durations: Mapping[str, list[float]], index: OwnerIndex, outputs: Mapping[str, tuple[str, ...]]) -> OpCosts:
    seconds: dict[str, float] = {}
    overhead = 0.0
    for name, measured in durations.items():
        # A node inside a loop body runs more often than once a batch.
        per_batch = statistics.median(measured) * max(1, round(len(measured) / _RUNS))
        op = index.find((name, *outputs.get(name, ())))
        if op is None or _is_conversion(name):
            overhead += per_batch
        else:
            seconds[op.id] = seconds.get(op.id, 0.0) + per_batch
    return OpCosts(seconds, overhead)


def _is_conversion(name: str) -> bool:
    return name.endswith(("/quantize", "/dequantize", "/dynamic_quantize"))
