"""The graph a plan is written into: copied float nodes, conversions at the borders, constants made once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoq.adaptors.tensorflow.graph import Graph, GraphDef, NodeDef, node_name, tensor_name
from autoq.adaptors.tensorflow.ranges import MIDDLE, Grid
from autoq.adaptors.tensorflow.runtime import tf
from autoq.core.errors import TrialError

Attribute = Any
"""A Python value an attribute is set to: bool, int, float, bytes, a TensorFlow type, or a list of these."""

KERNEL = "quantized"
"""Last part of the name of the node that does an op's work in 8 bits: ``<op id>/quantized``."""

FLOAT = tf.float32
_BYTES = {"quint8": tf.uint8, "qint8": tf.int8}
_TYPES = {"quint8": tf.quint8, "qint8": tf.qint8}


@dataclass(frozen=True)
class Stored:
    """A tensor in 8 bits.

    Attributes:
        name: Name of the tensor in the written graph.
        grid: What its bytes mean.
    """

    name: str
    grid: Grid

    @property
    def type(self) -> Any:
        """TensorFlow's type."""
        return _TYPES[self.grid.kind]


class Emitter:
    """Writes one graph. Float tensors keep the names they have in the source graph."""

    def __init__(self, graph: Graph):
        self.graph = graph
        self.proto: GraphDef = tf.compat.v1.GraphDef()
        self.proto.versions.CopyFrom(graph.proto.versions)
        self._made: set[str] = set()
        self._stored: dict[str, Stored] = {}
        self._unsigned: dict[str, Stored] = {}

    # -- nodes --------------------------------------------------------------------------------------------------

    def add(self, op: str, name: str, inputs: Sequence[str], attributes: Mapping[str, Attribute]) -> str:
        """Write a node; returns its first output."""
        node = self.proto.node.add(name=name, op=op, input=inputs)
        for key, value in attributes.items():
            set_attribute(node.attr[key], value)
        self._made.add(name)
        return f"{name}:0"

    def add_like(self, node: NodeDef, name: str, inputs: Sequence[str], kind: Any) -> str:
        """Write a node with the attributes of another, on another type; returns its first output."""
        made = self.proto.node.add(name=name, op=node.op, input=inputs)
        for key, value in node.attr.items():
            if not key.startswith("_"):
                made.attr[key].CopyFrom(value)
        made.attr["T"].type = kind.as_datatype_enum
        self._made.add(name)
        return f"{name}:0"

    def add_proto(self, node: NodeDef) -> str:
        """Write a finished node, once; returns its first output."""
        if node.name not in self._made:
            self.proto.node.add().CopyFrom(node)
            self._made.add(node.name)
        return f"{node.name}:0"

    def copy(self, node: NodeDef) -> None:
        """Write a node of the source graph as it is, and what it needs before it."""
        if node.name in self._made:
            return
        for name in node.input:
            if not name.startswith("^"):
                self.float_of(tensor_name(name))
        made = self.proto.node.add()
        made.CopyFrom(node)
        kept = [name for name in node.input if not name.startswith("^") or node_name(name) in self._made]
        if len(kept) != len(node.input):
            del made.input[:]
            made.input.extend(kept)
        self._made.add(node.name)

    def fresh(self, base: str) -> str:
        """A node name that is not taken in either graph."""
        name, number = base, 1
        while name in self._made or name in self.graph.by_name:
            name, number = f"{base}_{number}", number + 1
        return name

    # -- constants ----------------------------------------------------------------------------------------------

    def number(self, value: float) -> str:
        """A float constant, shared by all that need it."""
        name = f"autoq/number_{value!r}".replace("+", "")
        return f"{name}:0" if name in self._made else self.add_proto(constant(name, np.float32(value)))

    def array(self, base: str, values: NDArray[Any]) -> str:
        """A constant of its own."""
        return self.add_proto(constant(self.fresh(base), values))

    # -- 8-bit tensors ------------------------------------------------------------------------------------------

    def keep(self, tensor: str, stored: Stored) -> None:
        """Note that a tensor of the source graph lies in 8 bits."""
        self._stored[tensor] = stored

    def float_of(self, tensor: str) -> str:
        """Make sure that a tensor exists under its own name, as the source graph has it; returns the name."""
        name = node_name(tensor)
        if name in self._made:
            return tensor
        stored = self._stored.get(tensor)
        if stored is None:
            node = self.graph.by_name[name]
            if self.graph.constant(tensor) is None:
                raise TrialError("a float node reads a tensor that this plan does not make", where=tensor)
            self.copy(node)
            return tensor
        # Around zero the scaled form runs in oneDNN; the other one knows a zero point.
        mode = b"MIN_FIRST" if stored.grid.zero_point else b"SCALED"
        low, high = stored.grid.real if stored.grid.zero_point else stored.grid.span
        inputs = [stored.name, self.number(low), self.number(high)]
        return self.add("Dequantize", name, inputs, {"T": stored.type, "mode": mode, "dtype": FLOAT})

    def quantized(self, tensor: str, grid: Grid) -> Stored:
        """A tensor in 8 bits: as it is stored, or converted once."""
        if tensor not in self._stored:
            low, high = grid.real if grid.zero_point else grid.span
            kind = _TYPES[grid.kind]
            attributes = {
                "T": kind,
                "mode": b"MIN_FIRST" if grid.zero_point else b"SCALED",
                "round_mode": b"HALF_AWAY_FROM_ZERO" if grid.zero_point else b"HALF_TO_EVEN",
                "ensure_minimum_range": 0.0,
            }
            inputs = [self.float_of(tensor), self.number(low), self.number(high)]
            made = self.add("QuantizeV2", self.fresh(f"{node_name(tensor)}/quantize"), inputs, attributes)
            self._stored[tensor] = Stored(made, grid)
        return self._stored[tensor]

    def unsigned(self, stored: Stored) -> Stored:
        """The same values in unsigned bytes: signed ones differ from them in one bit."""
        if not stored.grid.signed:
            return stored
        if stored.name not in self._unsigned:
            self._unsigned[stored.name] = self._flip(stored, stored.grid.unsigned)
        return self._unsigned[stored.name]

    def signed(self, stored: Stored, grid: Grid) -> Stored:
        """Unsigned bytes with zero in the middle, as signed ones on `grid`."""
        found = self._flip(stored, grid)
        self._unsigned[found.name] = stored
        return found

    def own(self, stored: Stored, base: str) -> Stored:
        """The same bytes in a buffer that nothing else reads; copied only where something else still does."""
        # Two copies of one tensor look alike to grappler, which would make them one again: a mark tells them apart.
        attributes = {"T": _BYTES[stored.grid.kind], "_autoq_owner": base.encode()}
        name = self.add("Snapshot", self.fresh(f"{base}/own"), [self.bytes_of(stored)], attributes)
        return self.as_stored(name, stored.grid, base)

    def clamp(self, stored: Stored, low: int | None, high: int | None) -> Stored:
        """Bytes, none below `low` and none above `high`."""
        if low is None and high is None:
            return stored
        base, kind = node_name(stored.name), _BYTES[stored.grid.kind]
        name = self.bytes_of(stored)
        for op, bound in (("Maximum", low), ("Minimum", high)):
            if bound is not None:
                limit = self.array(f"{base}/{op.lower()}_bound", np.asarray(bound, kind.as_numpy_dtype))
                name = self.add(op, self.fresh(f"{base}/{op.lower()}"), [name, limit], {"T": kind})
        return self.as_stored(name, stored.grid, base)

    def pad(self, stored: Stored, sizes: str, base: str) -> Stored:
        """Surround a tensor with what zero is stored as. On quantized types TensorFlow does so byte by byte."""
        kind = _BYTES[stored.grid.kind]
        fill = self.array(f"{base}/fill", np.asarray(stored.grid.zero_point, kind.as_numpy_dtype))
        attributes = {"T": kind, "Tpaddings": tf.int32}
        name = self.add("PadV2", self.fresh(f"{base}/bytes"), [self.bytes_of(stored), sizes, fill], attributes)
        return self.as_stored(name, stored.grid, base)

    def bytes_of(self, stored: Stored) -> str:
        """An 8-bit tensor as plain integers."""
        name = self.fresh(f"{node_name(stored.name)}/bytes")
        return self.add("Bitcast", name, [stored.name], {"T": stored.type, "type": _BYTES[stored.grid.kind]})

    def as_stored(self, integers: str, grid: Grid, base: str) -> Stored:
        """Plain integers as an 8-bit tensor."""
        attributes = {"T": _BYTES[grid.kind], "type": _TYPES[grid.kind]}
        return Stored(self.add("Bitcast", self.fresh(f"{base}/stored"), [integers], attributes), grid)

    def _flip(self, stored: Stored, grid: Grid) -> Stored:
        base = node_name(stored.name)
        seen = self.add("Bitcast", self.fresh(f"{base}/bytes"), [stored.name], {"T": stored.type, "type": tf.uint8})
        bit = self.array(f"{base}/sign_bit", np.asarray(MIDDLE, np.uint8))
        flipped = self.add("BitwiseXor", self.fresh(f"{base}/flip"), [seen, bit], {"T": tf.uint8})
        kind = _TYPES[grid.kind]
        return Stored(self.add("Bitcast", self.fresh(f"{base}/stored"), [flipped], {"T": tf.uint8, "type": kind}), grid)


def constant(name: str, values: Any, kind: Any = None) -> NodeDef:
    """A constant node; with `kind`, of a quantized type that the bytes of `values` are taken for."""
    array = np.asarray(values)
    node = tf.compat.v1.NodeDef(name=name, op="Const")
    tensor = node.attr["value"].tensor
    tensor.dtype = (kind or tf.as_dtype(array.dtype)).as_datatype_enum
    tensor.tensor_shape.SetInParent()
    for size in array.shape:
        tensor.tensor_shape.dim.add(size=size)
    tensor.tensor_content = np.ascontiguousarray(array).tobytes()
    node.attr["dtype"].type = tensor.dtype
    return node


def set_attribute(target: Any, value: Attribute) -> None:
    """Write a Python value into an ``AttrValue``."""
    match value:
        case bool():
            target.b = value
        case int():
            target.i = value
        case float():
            target.f = value
        case bytes():
            target.s = value
        case tf.DType():
            target.type = value.as_datatype_enum
        case _:
            target.list.SetInParent()
            for item in value:
                match item:
                    case bytes():
                        target.list.s.append(item)
                    case int():
                        target.list.i.append(item)
                    case _:
                        target.list.type.append(item.as_datatype_enum)
