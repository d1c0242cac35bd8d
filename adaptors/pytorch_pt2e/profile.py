"""Seconds per op: float ops as nodes of the graph, quantized ops in the kernels the compiler uses."""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx

from autoq.adaptors.pytorch.execution import first_line
from autoq.adaptors.pytorch.guard import guarded
from autoq.adaptors.pytorch_pt2e.candidate import GraphCandidate
from autoq.adaptors.pytorch_pt2e.lower import lowered
from autoq.adaptors.pytorch_pt2e.realized import weight_scales
from autoq.adaptors.pytorch_pt2e.reference import faster
from autoq.core.adaptor import OpCosts
from autoq.core.batch import Inputs
from autoq.core.errors import AutoqError, TrialError

_WARMUP, _RUNS = 2, 5
_SIMULATED = "fake_quantize"
_KERNEL = re.compile(r"onednn\.q(conv|linear)")
_CONVERSION = re.compile(r"quantized_decomposed\.(de)?quantize_per_tensor")


def profile(candidate: GraphCandidate, inputs: Inputs) -> OpCosts:
    """Median seconds of one batch by op id; nodes of no op, and conversions between 8 bits and float, are overhead.

    Raises:
        DataError: The batch does not fit.
        TrialError: The model failed.
    """
    tensors = candidate.source.torch.signature.tensors(inputs)
    graph = candidate.graph
    try:
        with guarded(candidate.options.threads):
            return _costs(candidate, graph, tensors)
    except AutoqError:
        raise
    except Exception as error:
        raise TrialError(f"profiling failed: {type(error).__name__}: {first_line(error)}") from error


def _costs(candidate: GraphCandidate, graph: fx.GraphModule, tensors: Sequence[Tensor]) -> OpCosts:
    ops = candidate.source.ops
    with torch.autocast("cpu", torch.bfloat16, enabled=candidate.autocast):
        times = _seconds(faster(graph), tensors)
    seconds: dict[str, float] = {}
    overhead = 0.0
    for name, spent in times.items():
        owner = ops.owner.get(name)
        if owner is not None:
            seconds[owner] = seconds.get(owner, 0.0) + spent
        elif _SIMULATED not in name:
            overhead += spent
    scales = weight_scales(candidate.realized, ops, graph)
    if scales:
        kernels, conversions = _kernels(graph, tensors)
        overhead += conversions
        for op, scale in scales.items():
            if kernels.get(scale):
                seconds[op] = kernels[scale].pop(0)
    return OpCosts(seconds, overhead)


def _kernels(graph: fx.GraphModule, tensors: Sequence[Tensor]) -> tuple[dict[str, list[float]], float]:
    """Seconds of every 8-bit kernel by the scales of its weight, in execution order; seconds of conversions."""
    made = lowered(graph, tensors)
    times = _seconds(made, tensors)
    kernels: dict[str, list[float]] = {}
    conversions = 0.0
    for node in made.graph.nodes:
        target = str(node.target)
        if _KERNEL.match(target):
            scale = next(str(n.target) for n in node.all_input_nodes if str(n.target).startswith("_scale_"))
            kernels.setdefault(scale, []).append(times[node.name])
        elif _CONVERSION.match(target):
            conversions += times[node.name]
    return kernels, conversions


def _seconds(graph: fx.GraphModule, tensors: Sequence[Tensor]) -> Mapping[str, float]:
    """Median seconds of every call by the node's name."""
    runs: list[dict[str, float]] = []
    for _ in range(_WARMUP + _RUNS):
        clock = _Clock(graph)
        clock.run(*tensors)
        runs.append(clock.seconds)
    return {name: statistics.median(run[name] for run in runs[_WARMUP:]) for name in runs[-1]}


class _Clock(fx.Interpreter):  # type: ignore[misc]
    """Runs a graph node by node and measures each."""

    def __init__(self, graph: fx.GraphModule) -> None:
        super().__init__(graph)
        self.extra_traceback = False
        self.seconds: dict[str, float] = {}

    def run_node(self, n: fx.Node) -> Any:
        """The node's result."""
        started = time.perf_counter()
        result = super().run_node(n)
        if n.op == "call_function":
            self.seconds[n.name] = time.perf_counter() - started
        return result
