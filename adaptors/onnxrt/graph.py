"""An indexed, read-only view of a prepared ONNX graph."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

Shape = tuple[int | None, ...]

_UNKNOWN: tuple[int, Shape | None] = (TensorProto.UNDEFINED, None)


@dataclass(frozen=True, eq=False)
class Graph:
    """Nodes, weights and tensor types by name.

    Attributes:
        proto: The model; never changed.
        folder: Where its external data lie, or None when it holds all data itself.
        types: Element type (``TensorProto.DataType``) and shape by tensor name, as far as inference went.
    """

    proto: ModelProto
    folder: Path | None
    types: Mapping[str, tuple[int, Shape | None]]

    @cached_property
    def nodes(self) -> Sequence[NodeProto]:
        """Nodes in execution order."""
        return list(self.proto.graph.node)

    @cached_property
    def initializers(self) -> Mapping[str, TensorProto]:
        """Weights and other constants by name."""
        return {t.name: t for t in self.proto.graph.initializer}

    @cached_property
    def inputs(self) -> frozenset[str]:
        """Names of the graph's inputs."""
        return frozenset(i.name for i in self.proto.graph.input)

    @cached_property
    def outputs(self) -> frozenset[str]:
        """Names of the graph's outputs."""
        return frozenset(o.name for o in self.proto.graph.output)

    @cached_property
    def producer(self) -> Mapping[str, int]:
        """Index of the node that makes a tensor."""
        return {name: i for i, node in enumerate(self.nodes) for name in node.output if name}

    @cached_property
    def consumers(self) -> Mapping[str, Sequence[int]]:
        """Indices of the nodes that read a tensor, subgraphs included; a node that reads it twice counts twice."""
        found: dict[str, list[int]] = {}
        for i, node in enumerate(self.nodes):
            for name in (*node.input, *self.captured(i)):
                if name:
                    found.setdefault(name, []).append(i)
        return found

    @cached_property
    def opset(self) -> int:
        """Version of the standard operator set."""
        return opset_of(self.proto)

    def captured(self, index: int) -> frozenset[str]:
        """Outer tensors that the subgraphs of a node read."""
        return frozenset(name for graph in subgraphs(self.nodes[index]) for name in free_names(graph))

    @cached_property
    def captured_names(self) -> frozenset[str]:
        """Outer tensors that any subgraph reads."""
        return frozenset[str]().union(*(self.captured(i) for i in range(len(self.nodes))))

    def is_float(self, name: str) -> bool:
        """Whether a tensor is known to be float32."""
        tensor = self.initializers.get(name)
        return bool(
            (tensor.data_type if tensor is not None else self.types.get(name, _UNKNOWN)[0]) == TensorProto.FLOAT
        )

    def shape(self, name: str) -> Shape | None:
        """Shape of a tensor, with None for axes of any size; None when the rank is unknown."""
        if name in self.initializers:
            return tuple(self.initializers[name].dims)
        return self.types.get(name, _UNKNOWN)[1]

    def array(self, name: str) -> NDArray[Any]:
        """Values of an initializer; memory-mapped when they lie in a file."""
        return tensor_array(self.initializers[name], self.folder)


def tensor_array(tensor: TensorProto, folder: Path | None) -> NDArray[Any]:
    """Values of a tensor; memory-mapped when they lie in a file of `folder`."""
    if tensor.data_location != TensorProto.EXTERNAL:
        values: NDArray[Any] = numpy_helper.to_array(tensor)
        return values
    assert folder is not None
    entry = {e.key: e.value for e in tensor.external_data}
    dtype = np.dtype(helper.tensor_dtype_to_np_dtype(tensor.data_type))
    return np.memmap(
        folder / entry["location"],
        dtype,
        mode="r",
        offset=int(entry.get("offset", 0)),
        shape=tuple(tensor.dims) or (1,),
    ).reshape(tuple(tensor.dims))


def attribute(node: NodeProto, name: str, default: Any = None) -> Any:
    """Value of a node's attribute."""
    for item in node.attribute:
        if item.name == name:
            match item.type:
                case AttributeProto.INT:
                    return item.i
                case AttributeProto.FLOAT:
                    return item.f
                case AttributeProto.STRING:
                    return item.s.decode()
                case AttributeProto.INTS:
                    return list(item.ints)
                case AttributeProto.STRINGS:
                    return [s.decode() for s in item.strings]
                case AttributeProto.FLOATS:
                    return list(item.floats)
                case _:
                    return default
    return default


def subgraphs(node: NodeProto) -> Iterator[GraphProto]:
    """Bodies of If, Loop and Scan."""
    for item in node.attribute:
        if item.type == AttributeProto.GRAPH:
            yield item.g
        yield from item.graphs


def free_names(graph: GraphProto) -> frozenset[str]:
    """Names a subgraph reads from outside."""
    bound = {i.name for i in graph.input} | {t.name for t in graph.initializer}
    free: set[str] = set()
    for node in graph.node:
        free.update(n for n in node.input if n and n not in bound)
        for inner in subgraphs(node):
            free.update(n for n in free_names(inner) if n not in bound)
        bound.update(node.output)
    free.update(o.name for o in graph.output if o.name not in bound)
    return frozenset(free)


def opset_of(proto: ModelProto) -> int:
    """Version of the standard operator set."""
    return next((o.version for o in proto.opset_import if o.domain in ("", "ai.onnx")), 0)
