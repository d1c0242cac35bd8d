"""One node of a file as a model of its own, to time it or to feed it by hand."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np

from autoq.adaptors.tensorflow_lite.graph import Graph, ModelT, Node, write
from autoq.adaptors.tensorflow_lite.runtime import make_interpreter, reason
from autoq.core.batch import Array
from autoq.core.errors import TrialError
from autoq.core.quiet import silent_stderr


@dataclass(eq=False)
class Isolated:
    """A node that runs alone.

    Attributes:
        interpreter: Ready to run it.
        reads: Tensors of the whole file that it is fed, in order.
        fed: The same tensors in the interpreter.
        made: Its first output in the interpreter.
        shapes: Of what it was fed last; None before.
    """

    interpreter: Any
    reads: tuple[int, ...]
    fed: tuple[int, ...]
    made: int
    shapes: tuple[tuple[int, ...], ...] | None = None

    def feed(self, arrays: list[Array]) -> None:
        """Set what it reads, of any batch size.

        Raises:
            TrialError: LiteRT does not take it.
        """
        shapes = tuple(array.shape for array in arrays)
        try:
            if shapes != self.shapes:
                for index, shape in zip(self.fed, shapes, strict=True):
                    self.interpreter.resize_tensor_input(index, list(shape))
                with silent_stderr():
                    self.interpreter.allocate_tensors()
                self.shapes = shapes
            for index, array in zip(self.fed, arrays, strict=True):
                self.interpreter.set_tensor(index, array)
        except (RuntimeError, ValueError) as error:
            raise TrialError(f"LiteRT failed on a single op: {reason(error)}") from error

    def run(self, arrays: list[Array]) -> Array:
        """Its first output.

        Raises:
            TrialError: LiteRT failed.
        """
        self.feed(arrays)
        try:
            self.interpreter.invoke()
        except RuntimeError as error:
            raise TrialError(f"LiteRT failed on a single op: {reason(error)}") from error
        found: Array = self.interpreter.get_tensor(self.made)
        return found


def isolate(model: ModelT, graph: Graph, node: Node, threads: int | None) -> Isolated:
    """A node with the nodes that unpack its constants.

    Args:
        model: The objects of the file; not changed.
        graph: Their view.
        node: The node.
        threads: Threads of one inference.

    Raises:
        TrialError: LiteRT does not run it alone.
    """
    needed = [*_unpacking(graph, node), node]
    made = {index for n in needed for index in n.outputs}
    reads = tuple(i for i in dict.fromkeys(node.inputs) if i >= 0 and i not in made and not graph.tensors[i].constant)
    used = list(dict.fromkeys(i for n in needed for i in (*n.inputs, *n.outputs) if i >= 0))
    # Scales of weights quantized in groups are tensors of their own.
    used += [s for s in (_scales(model, i) for i in used) if s is not None and s not in used]
    place = {old: new for new, old in enumerate(used)}
    alone = copy.copy(model)
    subgraph = copy.copy(model.subgraphs[0])
    alone.buffers = [model.buffers[0]]
    subgraph.tensors = [_moved(model, index, place, alone.buffers) for index in used]
    subgraph.operators = [_operator(model, n, place) for n in needed]
    subgraph.inputs = np.asarray([place[i] for i in reads], np.int32)
    subgraph.outputs = np.asarray([place[i] for i in node.outputs], np.int32)
    alone.subgraphs, alone.signatureDefs, alone.metadata, alone.metadataBuffer = [subgraph], None, None, None
    try:
        interpreter = make_interpreter(write(alone), threads, allocated=False)
    except (RuntimeError, ValueError) as error:
        raise TrialError(f"LiteRT cannot run this op alone: {reason(error)}", where=node.name) from error
    return Isolated(interpreter, reads, tuple(place[i] for i in reads), place[node.outputs[0]])


def _unpacking(graph: Graph, node: Node) -> list[Node]:
    makers = [graph.producer[i] for i in node.inputs if i in graph.producer]
    return [m for m in makers if all(i < 0 or graph.tensors[i].constant for i in m.inputs)]


def _scales(model: ModelT, index: int) -> int | None:
    quantization = model.subgraphs[0].tensors[index].quantization
    details = None if quantization is None else quantization.details
    return int(details.scales) if details is not None and hasattr(details, "scales") else None


def _moved(model: ModelT, index: int, place: dict[int, int], buffers: list[Any]) -> Any:
    tensor = copy.copy(model.subgraphs[0].tensors[index])
    buffer = model.buffers[tensor.buffer]
    tensor.buffer = 0
    if buffer.data is not None:
        tensor.buffer = len(buffers)
        buffers.append(buffer)
    scales = _scales(model, index)
    if scales is not None:
        tensor.quantization = copy.copy(tensor.quantization)
        tensor.quantization.details = copy.copy(tensor.quantization.details)
        tensor.quantization.details.scales = place[scales]
    return tensor


def _operator(model: ModelT, node: Node, place: dict[int, int]) -> Any:
    operator = copy.copy(model.subgraphs[0].operators[node.index])
    operator.inputs = np.asarray([place.get(i, -1) for i in node.inputs], np.int32)
    operator.outputs = np.asarray([place[i] for i in node.outputs], np.int32)
    return operator
