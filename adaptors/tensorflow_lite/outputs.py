"""Outputs of a quantized file: the same tensors, of the same types, as those of the float model."""

from __future__ import annotations

import numpy as np

from autoq.adaptors.tensorflow_lite.graph import Graph, ModelT
from autoq.adaptors.tensorflow_lite.model import LiteModel
from autoq.core.errors import TrialError

_DEQUANTIZED = "_dequant"


def float_outputs(model: LiteModel, objects: ModelT, graph: Graph) -> bool:
    """Let a file end in tensors of the types of the float model's outputs; whether anything had to be changed.

    Where a quantized op reads a float output, the quantizer lets the model end in the quantized copy that the op reads.

    Args:
        model: The float model.
        objects: A file as the quantizer leaves it; changed in place.
        graph: Its view.

    Raises:
        TrialError: The file does not hold an output in its own type.
    """
    wanted = [model.graph.tensors[index] for index in model.graph.outputs]
    ends = {
        found: _own(graph, want.name, want.type)
        for found, want in zip(graph.outputs, wanted, strict=True)
        if graph.tensors[found].type != want.type
    }
    if not ends:
        return False
    subgraph = objects.subgraphs[0]
    subgraph.outputs = np.asarray([ends.get(index, index) for index in graph.outputs], np.int32)
    for signature in objects.signatureDefs or ():
        for entry in signature.outputs:
            entry.tensorIndex = ends.get(int(entry.tensorIndex), int(entry.tensorIndex))
    return True


def _own(graph: Graph, name: str, kind: str) -> int:
    for candidate in (name, name + _DEQUANTIZED):
        index = graph.index_of.get(candidate)
        if index is not None and graph.tensors[index].type == kind:
            return index
    raise TrialError(f"the quantized file holds this output only as integers, not as {kind}", where=name)
