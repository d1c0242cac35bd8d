"""Writing a quantized graph: nodes in order, each tensor in the forms that are needed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import AttributeProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from autoq.adaptors.onnxrt.graph import Graph
from autoq.adaptors.onnxrt.ranges import Grid

MICROSOFT = "com.microsoft"


@dataclass(frozen=True, slots=True)
class Stored:
    """The uint8 form of a tensor.

    Attributes:
        name: Tensor that holds it.
        scale: Tensor that holds the scale.
        zero_point: Tensor that holds the zero point.
        grid: Their values.
    """

    name: str
    scale: str
    zero_point: str
    grid: Grid

    @property
    def triple(self) -> tuple[str, str, str]:
        """Value, scale, zero point, as the quantized kernels take them."""
        return self.name, self.scale, self.zero_point


class Emitter:
    """Collects the nodes and constants of one variant of a graph.

    A tensor of the original graph keeps its name as long as it exists in float. Its uint8 form is a
    tensor of its own. Conversions are written when someone first asks for a form that is not there.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._nodes: list[NodeProto] = []
        self._constants: dict[str, TensorProto] = {}
        self._floats: set[str] = set(graph.inputs) | set(graph.initializers)
        self._stored: dict[str, Stored] = {}
        self._dequantized: set[str] = set()
        self._names: set[str] = set(graph.producer) | self._floats

    # -- forms of a tensor -------------------------------------------------------------------------------------

    def stored(self, tensor: str) -> Stored | None:
        """The uint8 form of a tensor, if it exists."""
        return self._stored.get(tensor)

    def float_of(self, tensor: str) -> str:
        """The float form; dequantizes when there is none yet."""
        if tensor and tensor not in self._floats and tensor in self._stored:
            self.add("DequantizeLinear", self._stored[tensor].triple, [tensor], f"{tensor}/dequantize")
            self._dequantized.add(tensor)
        return tensor

    def quantized_of(self, tensor: str, grid: Grid) -> Stored:
        """The uint8 form; quantizes the float one on `grid` when there is none yet."""
        if tensor not in self._stored:
            stored = self.declare(tensor, grid)
            self.add("QuantizeLinear", [tensor, stored.scale, stored.zero_point], [stored.name], f"{tensor}/quantize")
        return self._stored[tensor]

    def declare(self, tensor: str, grid: Grid) -> Stored:
        """Say that the next node makes the uint8 form of `tensor`, on `grid`."""
        scale = self.constant(f"{tensor}/scale", np.asarray(grid.scale, np.float32))
        zero_point = self.constant(f"{tensor}/zero_point", np.asarray(grid.zero_point, np.uint8))
        stored = Stored(self.fresh(f"{tensor}/quantized"), scale, zero_point, grid)
        self._stored[tensor] = stored
        return stored

    def declare_same(self, tensor: str, source: Stored) -> Stored:
        """Say that the next node makes the uint8 form of `tensor`, on the grid of `source`."""
        stored = Stored(self.fresh(f"{tensor}/quantized"), source.scale, source.zero_point, source.grid)
        self._stored[tensor] = stored
        return stored

    def constant_stored(self, name: str, values: NDArray[np.float32], grid: Grid) -> Stored:
        """The uint8 form of constant values, under a name of their own."""
        if name not in self._stored:
            stored = self.declare(name, grid)
            self._constants[stored.name] = numpy_helper.from_array(grid.quantize(values), stored.name)
        return self._stored[name]

    # -- nodes and constants -----------------------------------------------------------------------------------

    def add(
        self,
        op_type: str,
        inputs: Iterable[str],
        outputs: Sequence[str],
        name: str,
        *,
        domain: str = "",
        attributes: Iterable[AttributeProto] = (),
        **values: Any,
    ) -> None:
        """Append a node. Outputs that carry original names become available in float."""
        node = helper.make_node(op_type, list(inputs), list(outputs), name=name, domain=domain, **values)
        node.attribute.extend(attributes)
        self._nodes.append(node)
        self._floats.update(outputs)

    def copy(self, node: NodeProto, data: Sequence[str] = (), *, apart: bool = False, moves: bool = False) -> None:
        """Append an original node, in float.

        Args:
            node: The node.
            data: Inputs that come quantized where an 8-bit kernel does its work.
            apart: Keep ONNX Runtime from making one 8-bit kernel of the node and the conversions around it; it
                would even quantize float weights for that.
            moves: The node only moves values, so that ONNX Runtime may move conversions across it.
        """
        for name in node.input:
            self.float_of(name)
        converted = bool(data) and self._dequantized.issuperset(data)
        if apart and converted:
            # A Clip without bounds changes nothing, and is not optimized away as an Identity would be.
            barrier = self.fresh(f"{data[0]}/float")
            self.add("Clip", data[:1], [barrier], f"{node.name}/float")
            original, node = node, NodeProto()
            node.CopyFrom(original)
            node.input[list(node.input).index(data[0])] = barrier
        elif moves and converted:
            self._dequantized.update(node.output)
        self._nodes.append(node)
        self._floats.update(node.output)

    def constant(self, name: str, values: NDArray[Any]) -> str:
        """Name of a constant; one of the same name and value is used again."""
        tensor = numpy_helper.from_array(values, name)
        if name in self._constants and self._constants[name] == tensor:
            return name
        tensor.name = self.fresh(name)
        return self.share(tensor)

    def share(self, tensor: TensorProto) -> str:
        """Use a constant that was made before, e.g. quantized weights."""
        name = str(tensor.name)
        self._constants[name] = tensor
        return name

    def fresh(self, name: str) -> str:
        """`name`, or the same with a number when it is taken."""
        chosen, count = name, 1
        while chosen in self._names or chosen in self._constants:
            chosen, count = f"{name}.{count}", count + 1
        self._names.add(chosen)
        return chosen

    def finish(self) -> ModelProto:
        """The variant, with the constants that are read, outputs in float."""
        source = self.graph.proto
        for name in (o.name for o in source.graph.output):
            self.float_of(name)
        model = ModelProto(ir_version=source.ir_version, producer_name="autoq")
        model.opset_import.extend(source.opset_import)
        if all(o.domain != MICROSOFT for o in source.opset_import):
            model.opset_import.append(helper.make_opsetid(MICROSOFT, 1))
        model.functions.extend(source.functions)
        # Some models carry what their users need, e.g. an alphabet or class names.
        model.metadata_props.extend(source.metadata_props)
        graph = model.graph
        graph.name = source.graph.name or "graph"
        graph.input.extend(source.graph.input)
        graph.output.extend(source.graph.output)
        graph.node.extend(self._nodes)
        graph.sparse_initializer.extend(source.graph.sparse_initializer)
        read = {name for node in self._nodes for name in node.input} | self.graph.outputs | self.graph.captured_names
        graph.initializer.extend(t for name, t in self.graph.initializers.items() if name in read)
        graph.initializer.extend(t for name, t in self._constants.items() if name in read)
        return model
