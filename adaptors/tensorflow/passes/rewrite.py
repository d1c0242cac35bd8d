"""Changing a graph: a copy whose nodes are edited, and a view of the result."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoq.adaptors.tensorflow.graph import Graph, NodeDef, node_name, tensor_name
from autoq.adaptors.tensorflow.runtime import tf


class Rewrite:
    """A copy of a graph to be changed by one pass.

    A fused node takes the name of the last node it replaces, so what reads that node, or fetches it, finds the same
    tensor under the same name.

    Attributes:
        graph: The graph before the pass; it stays as it is.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._proto = tf.compat.v1.GraphDef()
        self._proto.CopyFrom(graph.proto)
        self._nodes: dict[str, NodeDef] = {node.name: node for node in self._proto.node}
        self._changed = False

    def node(self, name: str) -> NodeDef:
        """The copy of a node, to be edited."""
        self._changed = True
        return self._nodes[name]

    def constant(self, near: str, value: NDArray[Any]) -> str:
        """Add a constant.

        Args:
            near: The node it belongs to; it is called after that.
            value: Its value.

        Returns:
            Its tensor.
        """
        node = self._added(near, "Const")
        self._fill(node, value)
        return tensor_name(node.name)

    def add(self, op: str, near: str, inputs: Iterable[str]) -> NodeDef:
        """Add a node called after another; its attributes are the caller's to set."""
        node = self._added(near, op)
        node.input.extend(inputs)
        return node

    def become(self, name: str, op: str, inputs: Iterable[str]) -> NodeDef:
        """Let a node do something else, its outputs under their old names; attributes are the caller's to set."""
        node = self.node(name)
        node.op = op
        node.ClearField("attr")
        node.input[:] = list(inputs)
        return node

    def become_constant(self, name: str, value: NDArray[Any]) -> None:
        """Let a node be a constant."""
        self._fill(self.node(name), value)

    def redirect(self, tensors: dict[str, str]) -> None:
        """Let everything that reads a tensor read another one; control inputs are left as they are."""
        for node in self._proto.node:
            for i, name in enumerate(node.input):
                new = tensors.get(tensor_name(name))
                if new is not None:
                    node.input[i] = new
                    self._changed = True

    def finish(self) -> Graph:
        """The changed graph without nodes that no output needs; the graph itself where nothing changed."""
        if not self._changed:
            return self.graph
        return pruned(Graph(self._proto, self.graph.inputs, self.graph.outputs))

    def _added(self, near: str, op: str) -> NodeDef:
        self._changed = True
        names = (f"{near}/{op}_{number}" if number else f"{near}/{op}" for number in count())
        node = self._proto.node.add(name=next(name for name in names if name not in self._nodes), op=op)
        self._nodes[node.name] = node
        return node

    @staticmethod
    def _fill(node: NodeDef, value: NDArray[Any]) -> None:
        node.op = "Const"
        node.ClearField("attr")
        node.ClearField("input")
        tensor = tf.make_tensor_proto(value)
        node.attr["value"].tensor.CopyFrom(tensor)
        node.attr["dtype"].type = tensor.dtype


def pruned(graph: Graph) -> Graph:
    """A graph without nodes that no output needs; what is fed stays."""
    needed = {node_name(name) for name in (*graph.inputs, *graph.outputs)}
    stack = list(needed)
    while stack:
        for before in map(node_name, graph.by_name[stack.pop()].input):
            if before not in needed:
                needed.add(before)
                stack.append(before)
    if len(needed) == len(graph.proto.node):
        return graph
    proto = tf.compat.v1.GraphDef()
    proto.versions.CopyFrom(graph.proto.versions)
    proto.library.CopyFrom(graph.proto.library)
    proto.node.extend(node for node in graph.proto.node if node.name in needed)
    return Graph(proto, graph.inputs, graph.outputs)


def set_type(node: NodeDef, dtype: str = "float32") -> NodeDef:
    """Set a node's attribute ``T``."""
    node.attr["T"].type = tf.as_dtype(np.dtype(dtype)).as_datatype_enum
    return node
