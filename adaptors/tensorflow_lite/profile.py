"""Seconds per op. LiteRT's own profiler cannot be reached from Python, so each op is timed alone.

Every node of the file runs in an interpreter of its own, on what it reads in the whole model. What a node costs
between its neighbours differs a little from that: its inputs lie in the cache here, and each call has some
microseconds of its own.
"""

from __future__ import annotations

import statistics
import time

from autoq.adaptors.tensorflow_lite.candidate import LiteCandidate
from autoq.adaptors.tensorflow_lite.graph import Graph, graph_of, parse
from autoq.adaptors.tensorflow_lite.isolate import Isolated, isolate
from autoq.adaptors.tensorflow_lite.model import LiteModel
from autoq.adaptors.tensorflow_lite.session import Session
from autoq.core.adaptor import OpCosts
from autoq.core.batch import Inputs
from autoq.core.errors import TrialError

_RUNS = 12


def profile(candidate: LiteCandidate, model: LiteModel, inputs: Inputs, only: str | None = None) -> OpCosts:
    """Median seconds of one batch by op id; nodes of no op, conversions among them, add up to the overhead.

    Args:
        candidate: What runs.
        model: The float model it was built from.
        inputs: One batch.
        only: The op to time; all nodes by default.

    Raises:
        TrialError: The runtime failed.
    """
    session = Session(candidate.content, candidate.interface, candidate.options.threads, keep_tensors=True)
    session.run(inputs)
    objects = parse(candidate.content)
    graph = graph_of(objects)
    unpacked = _constant_nodes(graph)
    seconds: dict[str, float] = {}
    overhead = 0.0
    for node in graph.nodes:
        if node.index in unpacked or only not in (None, node.name):
            continue
        alone = isolate(objects, graph, node, candidate.options.threads)
        took = _timed(alone, session)
        if node.name in model.ops_by_id:
            seconds[node.name] = took
        else:
            overhead += took
    return OpCosts(seconds, overhead)


def _timed(alone: Isolated, session: Session) -> float:
    alone.feed([session.tensor(i) for i in alone.reads])
    found = []
    try:
        alone.interpreter.invoke()
        for _ in range(_RUNS):
            start = time.perf_counter()
            alone.interpreter.invoke()
            found.append(time.perf_counter() - start)
    except RuntimeError as error:
        raise TrialError(f"profiling failed: {error}") from error
    return statistics.median(found)


def _constant_nodes(graph: Graph) -> frozenset[int]:
    """Nodes that unpack constants: done once, when a model is loaded."""
    known = {t.index for t in graph.tensors if t.constant}
    found = set[int]()
    for node in graph.nodes:
        if all(i < 0 or i in known for i in node.inputs):
            known.update(node.outputs)
            found.add(node.index)
    return frozenset(found)
