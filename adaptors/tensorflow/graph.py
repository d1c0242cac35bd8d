"""An indexed, read-only view of a frozen TensorFlow graph.

Tensors are named ``node:0``, as TensorFlow does, also where a node's input leaves the ``:0`` out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoq.adaptors.tensorflow.runtime import tf

Shape = tuple[int | None, ...]

GraphDef = Any
"""``tf.compat.v1.GraphDef``."""

NodeDef = Any
"""``tf.compat.v1.NodeDef``."""


def tensor_name(name: str) -> str:
    """``node:0`` of an input as a node writes it; control inputs (``^node``) are no tensors and stay as they are."""
    return name if name.startswith("^") or ":" in name else f"{name}:0"


def node_name(tensor: str) -> str:
    """The node that makes a tensor, or that a control input names."""
    return tensor.removeprefix("^").partition(":")[0]


@dataclass(frozen=True, eq=False)
class Graph:
    """Nodes, constants, types and shapes of a frozen graph without functions.

    Attributes:
        proto: The graph; never changed.
        inputs: Tensors that are fed, in order.
        outputs: Tensors that are fetched, in order.
    """

    proto: GraphDef
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    @cached_property
    def nodes(self) -> Sequence[NodeDef]:
        """Nodes in execution order: each after those it reads; ties as in the graph."""
        by_name, done, ordered = self.by_name, set[str](), list[NodeDef]()
        for root in self.proto.node:
            stack = [(root, iter(root.input))]
            if root.name in done:
                continue
            done.add(root.name)
            while stack:
                node, rest = stack[-1]
                for name in rest:
                    before = by_name[node_name(name)]
                    if before.name not in done:
                        done.add(before.name)
                        stack.append((before, iter(before.input)))
                        break
                else:
                    ordered.append(node)
                    stack.pop()
        return ordered

    @cached_property
    def by_name(self) -> Mapping[str, NodeDef]:
        """Node by name."""
        return {node.name: node for node in self.proto.node}

    @cached_property
    def position(self) -> Mapping[str, int]:
        """Place in `nodes` by name of a node."""
        return {node.name: i for i, node in enumerate(self.nodes)}

    @cached_property
    def consumers(self) -> Mapping[str, Sequence[NodeDef]]:
        """Nodes that read a tensor, in execution order; a node that reads it twice counts twice."""
        found: dict[str, list[NodeDef]] = {}
        for node in self.nodes:
            for name in data_inputs(node):
                found.setdefault(name, []).append(node)
        return found

    def producer(self, tensor: str) -> NodeDef:
        """The node that makes a tensor."""
        return self.by_name[node_name(tensor)]

    def only_consumer(self, tensor: str) -> NodeDef | None:
        """The one node that reads a tensor; None when there are more, none, or when it is an output."""
        found = self.consumers.get(tensor, ())
        return found[0] if len(found) == 1 and tensor not in self.outputs else None

    def constant(self, tensor: str) -> NDArray[Any] | None:
        """Value of a constant, also behind Identity nodes; None for anything else."""
        node = self.producer(tensor)
        while node.op in ("Identity", "Snapshot"):
            node = self.producer(node.input[0])
        return self._value(node.name) if node.op == "Const" else None

    def dtype(self, tensor: str) -> str:
        """NumPy name of a tensor's type, e.g. ``float32``."""
        return self._types[tensor][0]

    def shape(self, tensor: str) -> Shape | None:
        """Sizes of a tensor, None for an axis of any size; None for one of unknown rank."""
        return self._types[tensor][1]

    def _value(self, name: str) -> NDArray[Any]:
        if name not in self._values:
            value = np.asarray(tf.make_ndarray(self.by_name[name].attr["value"].tensor))
            value.setflags(write=False)
            self._values[name] = value
        return self._values[name]

    @cached_property
    def _values(self) -> dict[str, NDArray[Any]]:
        return {}

    @cached_property
    def _types(self) -> Mapping[str, tuple[str, Shape | None]]:
        graph = tf.Graph()
        with graph.as_default():
            tf.import_graph_def(self.proto, name="")
        found: dict[str, tuple[str, Shape | None]] = {}
        for operation in graph.get_operations():
            for tensor in operation.outputs:
                shape = tuple(tensor.shape.as_list()) if tensor.shape.rank is not None else None
                found[tensor.name] = (tensor.dtype.base_dtype.name, shape)
        return found


def attribute(node: NodeDef, key: str) -> Any:
    """``AttrValue`` of a node, an empty one where it has none; asking the node itself would add the empty one to it."""
    return node.attr[key] if key in node.attr else tf.compat.v1.AttrValue()


def data_inputs(node: NodeDef) -> list[str]:
    """Tensors a node reads, control inputs left out."""
    return [tensor_name(name) for name in node.input if not name.startswith("^")]
