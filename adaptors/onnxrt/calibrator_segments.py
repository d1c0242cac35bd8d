"""Runs a model as a chain of smaller sessions, so that observing every tensor needs little memory.

An output of a session lives until its run ends. With all activations as outputs of one session they would all
be alive at once: gigabytes for a detector. A chain computes each node once, and holds the observed tensors of
one segment, and what later segments read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise

import onnxruntime as ort
from onnx import ModelProto, TensorProto, ValueInfoProto, helper

from autoq.adaptors.onnxrt.graph import Graph
from autoq.adaptors.onnxrt.session import SessionSettings, make_session, return_free_memory
from autoq.core.batch import Array

_SHAPE_OF = "autoq/shape_of/"

# What a tensor costs that crosses a cut without being observed. Floats cost memory, and perhaps a fusion.
_FLOAT_COST = 10
_FORBIDDEN = 1_000_000


@dataclass(frozen=True, eq=False)
class Segment:
    """Consecutive nodes of a graph.

    Attributes:
        start: First node.
        stop: First node after it.
        outputs: Tensors it hands out: the observed ones it makes, and those later segments read.
    """

    start: int
    stop: int
    outputs: tuple[str, ...]


class Chain:
    """Sessions that together compute the observed tensors of a graph.

    Args:
        graph: The model.
        observed: Tensors that nodes of the graph make.
        shapes: Their shapes for inputs of the expected size; empty for one segment, whatever its size.
        budget: Bytes of observed tensors that one segment may make; one node may exceed it.
        settings: How sessions are made; where external data lie, and whether memory is kept, is found out here.
    """

    def __init__(
        self,
        graph: Graph,
        observed: Sequence[str],
        shapes: Mapping[str, Sequence[int]],
        budget: int,
        settings: SessionSettings,
    ) -> None:
        self._observed = frozenset(observed)
        self.segments = split(graph, observed, {n: nbytes(graph, n, s) for n, s in shapes.items()}, budget)
        self._sessions: list[ort.InferenceSession] = []
        self._read: list[frozenset[str]] = []
        for segment in self.segments:
            proto = extract(graph, segment, shapes)
            own = replace(settings, folder=graph.folder, arena=len(self.segments) == 1)
            self._sessions.append(make_session(proto.SerializeToString(), own))
            self._read.append(frozenset(i.name for i in proto.graph.input))

    def run(self, fed: Mapping[str, Array]) -> Iterator[dict[str, Array]]:
        """The observed tensors, segment by segment, in dicts for the caller to empty."""
        alive = dict(fed)
        for index, (segment, session) in enumerate(zip(self.segments, self._sessions, strict=True)):
            values = session.run(list(segment.outputs), {name: alive[name] for name in self._read[index]})
            made = dict(zip(segment.outputs, values, strict=True))
            del values
            later = frozenset[str]().union(*self._read[index + 1 :])
            alive = {name: value for name, value in (alive | made).items() if name in later}
            yield {name: made.pop(name) for name in segment.outputs if name in self._observed}
        if len(self.segments) > 1:
            return_free_memory()


def measure_shapes(
    graph: Graph, observed: Sequence[str], fed: Mapping[str, Array], threads: int | None
) -> Mapping[str, tuple[int, ...]]:
    """Shapes of the observed tensors for one batch, found by running the model once, without keeping them."""
    proto = extract(graph, Segment(0, len(graph.nodes), tuple(observed)), {})
    proto.graph.ClearField("output")
    for name in observed:
        proto.graph.node.append(helper.make_node("Shape", [name], [_SHAPE_OF + name]))
        proto.graph.output.append(ValueInfoProto(name=_SHAPE_OF + name))
    settings = SessionSettings(threads=threads, folder=graph.folder, shapes_first=True)
    session = make_session(proto.SerializeToString(), settings)
    read = [i.name for i in session.get_inputs()]
    shapes = session.run([_SHAPE_OF + name for name in observed], {name: fed[name] for name in read})
    return {name: tuple(int(n) for n in shape) for name, shape in zip(observed, shapes, strict=True)}


def nbytes(graph: Graph, name: str, shape: Sequence[int]) -> int:
    """Bytes of a tensor of a shape; of unknown types as if float32."""
    kind = graph.types.get(name, (TensorProto.UNDEFINED, None))[0] or TensorProto.FLOAT
    size = helper.tensor_dtype_to_np_dtype(kind).itemsize
    for n in shape:
        size *= n
    return int(size)


def split(graph: Graph, observed: Sequence[str], sizes: Mapping[str, int], budget: int) -> tuple[Segment, ...]:
    """Cut a graph into segments whose observed tensors fit a budget, where few other tensors cross the cut."""
    wanted = frozenset(observed)
    end = max((graph.producer[name] for name in wanted), default=-1) + 1
    last = {name: max((r for r in readers if r < end), default=-1) for name, readers in graph.consumers.items()}
    made = [sum(sizes.get(n, 0) for n in node.output if n in wanted) for node in graph.nodes[:end]]
    crossings = _crossings(graph, wanted, last, end)
    cuts = [0]
    while (stop := _next_cut(made, crossings, cuts[-1], budget)) < end:
        cuts.append(stop)
    cuts.append(end)
    segments = []
    for start, stop in pairwise(cuts):
        names = [n for node in graph.nodes[start:stop] for n in node.output if n]
        outputs = tuple(n for n in names if n in wanted or last.get(n, -1) >= stop)
        segments.append(Segment(start, stop, outputs))
    return tuple(s for s in segments if s.outputs)


def extract(graph: Graph, segment: Segment, shapes: Mapping[str, Sequence[int]]) -> ModelProto:
    """A segment as a model of its own, without the nodes its outputs do not need."""
    needed, nodes = set(segment.outputs), []
    for index in range(segment.stop - 1, segment.start - 1, -1):
        node = graph.nodes[index]
        if needed.intersection(node.output):
            nodes.append(node)
            needed.update(n for n in (*node.input, *graph.captured(index)) if n)
    made = {n for node in nodes for n in node.output}
    original = graph.proto
    proto = ModelProto(ir_version=original.ir_version, opset_import=original.opset_import, functions=original.functions)
    proto.graph.name = original.graph.name or "segment"
    proto.graph.node.extend(reversed(nodes))
    proto.graph.initializer.extend(t for t in original.graph.initializer if t.name in needed)
    proto.graph.sparse_initializer.extend(t for t in original.graph.sparse_initializer if t.values.name in needed)
    given = {i.name: i for i in original.graph.input}
    constants = {t.name for t in proto.graph.initializer} | {t.values.name for t in proto.graph.sparse_initializer}
    for name in sorted(needed - made - constants):
        proto.graph.input.append(given[name] if name in given else _declared(graph, name, shapes.get(name)))
    proto.graph.output.extend(ValueInfoProto(name=name) for name in segment.outputs)
    return proto


def _declared(graph: Graph, name: str, shape: Sequence[int] | None) -> ValueInfoProto:
    kind = graph.types[name][0]
    if kind != TensorProto.FLOAT:
        # Mostly shapes on their way to a Reshape or Resize, whose checks need to know how many numbers come.
        return helper.make_tensor_value_info(name, kind, graph.shape(name))
    # Of floats only the rank is certain: other batches may have other sizes.
    return helper.make_tensor_value_info(name, kind, None if shape is None else [None] * len(shape))


def _crossings(graph: Graph, wanted: frozenset[str], last: Mapping[str, int], end: int) -> list[int]:
    """What a cut before each node costs: tensors that would cross it although nobody observes them."""
    change = [0] * (end + 1)
    for index, node in enumerate(graph.nodes[:end]):
        for name in node.output:
            final = last.get(name, -1)
            if name and final > index and name not in wanted:
                cost = _crossing_cost(graph, name)
                change[index + 1] += cost
                change[final + 1] -= cost
    return list(accumulate(change))[:end]


def _crossing_cost(graph: Graph, name: str) -> int:
    kind, shape = graph.types.get(name, (TensorProto.UNDEFINED, None))
    if kind == TensorProto.FLOAT:
        return _FLOAT_COST
    # Perhaps no tensor at all, or of a shape that the next session would have to know.
    known = kind != TensorProto.UNDEFINED and shape is not None and None not in shape
    return 1 if known else _FORBIDDEN


def _next_cut(made: Sequence[int], crossings: Sequence[int], start: int, budget: int) -> int:
    """The cheapest cut that uses half to all of the budget, the latest of equals; else the first possible one."""
    end = len(made)
    totals = list(accumulate(made[start:], initial=0))
    if totals[-1] <= budget:
        return end
    possible = [p for p in range(start + 1, end) if crossings[p] < _FORBIDDEN and totals[p - start] * 2 >= budget]
    fitting = [p for p in possible if totals[p - start] <= budget]
    if fitting:
        return min(fitting, key=lambda p: (crossings[p], -p))
    return possible[0] if possible else end
