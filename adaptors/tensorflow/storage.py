"""Which tensors of a plan are stored in 8 bits, which of them alike, and on which grid."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from autoq.adaptors.tensorflow.fusion import FusedOp, Fusion
from autoq.adaptors.tensorflow.limits import edges
from autoq.adaptors.tensorflow.moves import moved
from autoq.adaptors.tensorflow.ranges import Grid, Ranges
from autoq.core.precision import OpPrecision, TensorQuant

_POOLS = frozenset({"MaxPool", "AvgPool"})
_CONVOLUTIONS = frozenset({"Conv2D", "DepthwiseConv2dNative"})

# The kernel adds the bias before these, so their result cannot be shifted.
_UNSHIFTED = frozenset({"Tanh", "Sigmoid", "GeluExact", "GeluApproximate"})


@dataclass(frozen=True, eq=False)
class Storage:
    """Where the 8-bit tensors of a plan are, and their grids.

    Attributes:
        stored: Tensors that an 8-bit node leaves behind.
        moves: Names of the nodes that move values in 8 bits.
        grids: Grid by tensor, of everything that is stored or read in 8 bits.
    """

    stored: frozenset[str]
    moves: frozenset[str]
    grids: Mapping[str, Grid]


def wanted(fusion: Fusion, static: Collection[str]) -> frozenset[str]:
    """Tensors that some static op reads, directly or through nodes that only move values."""
    found = {name for op in fusion.ops if op.id in static for name in op.reads}
    for node in reversed(fusion.graph.nodes):
        if node.name not in fusion.owner and f"{node.name}:0" in found:
            found.update(moved(fusion.graph, node))
    return frozenset(found)


def keeps(op: FusedOp, wanted: Collection[str]) -> bool:
    """Whether a static op leaves its result in 8 bits: a matrix product only does where something wants it so."""
    return op.type != "MatMul" or op.output in wanted


def plan_storage(fusion: Fusion, static: Mapping[str, OpPrecision], ranges: Ranges) -> Storage:
    """Decide how every 8-bit tensor of a plan is stored.

    Args:
        fusion: The model's ops.
        static: Precision of the ops that run in 8 bits, by id.
        ranges: Where grids come from.

    Raises:
        TrialError: Statistics of a tensor are missing.
    """
    graph, wants, classes = fusion.graph, wanted(fusion, static), _Classes()
    stored, moves = set[str](), set[str]()
    for node in graph.nodes:
        op = fusion.owner.get(node.name)
        if op is None:
            values, output = moved(graph, node), f"{node.name}:0"
            if output in wants and stored.intersection(values):
                moves.add(node.name)
                stored.add(output)
                classes.join(*values, output)
                for name in set(values) - stored:
                    classes.source(name, None)
        elif op.id in static and node.name == op.last:
            precision = static[op.id]
            assert precision.activation is not None
            for name in op.reads:
                if name not in stored:
                    classes.source(name, precision.activation)
            if op.type in _POOLS:
                classes.join(op.operands[0], op.output)
                stored.add(op.output)
                continue
            if op.type in _CONVOLUTIONS:
                beyond = edges(graph, op)
                if beyond is None:
                    classes.centre(op.operands[0])
                elif beyond != ((0, 0), (0, 0)) and op.type == "DepthwiseConv2dNative":
                    # It is fast enough for a padded copy of its input to cost as much again.
                    classes.prefer_centre(op.operands[0])
                if op.summand is not None:
                    classes.shift(op.summand)
                    classes.shift(op.output)
            if keeps(op, wants):
                stored.add(op.output)
                classes.source(op.output, precision.activation)
                if op.activation in _UNSHIFTED:
                    classes.centre(op.output)
    return Storage(frozenset(stored), frozenset(moves), classes.grids(ranges))


@dataclass
class _Classes:
    """Tensors that are stored alike, as a forest."""

    _parent: dict[str, str] = field(default_factory=dict)
    _sources: dict[str, TensorQuant | None] = field(default_factory=dict)
    _centred: set[str] = field(default_factory=set)
    _better_centred: set[str] = field(default_factory=set)
    _shifted: set[str] = field(default_factory=set)

    def join(self, *names: str) -> None:
        first = self._root(names[0])
        for name in names[1:]:
            self._parent[self._root(name)] = first

    def source(self, name: str, quant: TensorQuant | None) -> None:
        """A tensor whose values first appear in this class; without a quantization it takes that of the others."""
        self._root(name)
        if self._sources.get(name) is None:
            self._sources[name] = quant

    def centre(self, name: str) -> None:
        """Zero has to be stored as zero."""
        self._centred.add(name)

    def prefer_centre(self, name: str) -> None:
        """Some kernel pads with zero; where that is stored otherwise, a node of its own has to."""
        self._better_centred.add(name)

    def shift(self, name: str) -> None:
        """A residual sum reads or writes it, and is only right on unsigned tensors."""
        self._shifted.add(name)

    def grids(self, ranges: Ranges) -> dict[str, Grid]:
        members: dict[str, list[str]] = {}
        for name in self._parent:
            members.setdefault(self._root(name), []).append(name)
        found: dict[str, Grid] = {}
        for names in members.values():
            given = [(name, self._sources[name]) for name in names if name in self._sources]
            better = not self._better_centred.isdisjoint(names) and self._shifted.isdisjoint(names)
            grid = ranges.grid(_complete(given), centred=better or not self._centred.isdisjoint(names))
            found |= dict.fromkeys(names, grid)
        return found

    def _root(self, name: str) -> str:
        path = []
        while (above := self._parent.setdefault(name, name)) != name:
            path.append(name)
            name = above
        for passed in path:
            self._parent[passed] = name
        return name


def _complete(given: Sequence[tuple[str, TensorQuant | None]]) -> list[tuple[str, TensorQuant]]:
    first = next(quant for _, quant in given if quant is not None)
    return [(name, quant or first) for name, quant in given]
