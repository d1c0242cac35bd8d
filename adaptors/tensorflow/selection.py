"""The inputs and outputs of a model that a job uses, and their order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from autoq.adaptors.tensorflow.frozen import Frozen
from autoq.adaptors.tensorflow.graph import Graph, node_name, tensor_name
from autoq.adaptors.tensorflow.passes.rewrite import pruned
from autoq.core.batch import TensorSpec
from autoq.core.errors import ModelError
from autoq.core.suggest import did_you_mean


def select(frozen: Frozen, inputs: Sequence[str], outputs: Sequence[str]) -> Frozen:
    """A model with these inputs and outputs, in this order; its own where nothing is chosen.

    An output may be any tensor of the graph, by name.

    Raises:
        ModelError: There is no such input or output, or an output needs an input that is left out.
    """
    if outputs:
        frozen = _with_outputs(frozen, outputs)
    return _with_inputs(frozen, inputs) if inputs else frozen


def _with_outputs(frozen: Frozen, names: Sequence[str]) -> Frozen:
    own = {spec.name: (spec, tensor) for spec, tensor in zip(frozen.outputs, frozen.output_tensors, strict=True)}
    graph = Graph(frozen.proto, frozen.input_tensors, frozen.output_tensors)
    chosen = [own[name] if name in own else (_inner(graph, name, list(own), frozen.origin)) for name in names]
    tensors = tuple(tensor for _, tensor in chosen)
    proto = pruned(Graph(frozen.proto, frozen.input_tensors, tensors)).proto
    return replace(frozen, proto=proto, outputs=tuple(spec for spec, _ in chosen), output_tensors=tensors)


def _inner(graph: Graph, name: str, own: list[str], origin: str) -> tuple[TensorSpec, str]:
    tensor = tensor_name(name)
    if node_name(tensor) not in graph.by_name:
        known = [*own, *(node.name for node in graph.nodes)]
        raise ModelError(f"the model has no output '{name}'", where=origin, hint=did_you_mean(name, known))
    return TensorSpec(name, graph.dtype(tensor), graph.shape(tensor)), tensor


def _with_inputs(frozen: Frozen, names: Sequence[str]) -> Frozen:
    own = {spec.name: (spec, tensor) for spec, tensor in zip(frozen.inputs, frozen.input_tensors, strict=True)}
    for name in names:
        if name not in own:
            raise ModelError(f"the model has no input '{name}'", where=frozen.origin, hint=did_you_mean(name, own))
    chosen = [own[name] for name in names]
    tensors = tuple(tensor for _, tensor in chosen)
    graph = pruned(Graph(frozen.proto, tensors, frozen.output_tensors))
    for name, (_, tensor) in own.items():
        if name not in names and node_name(tensor) in graph.by_name:
            raise ModelError(
                f"input '{name}' is left out, and the outputs need it", where=frozen.origin, hint="add it to inputs"
            )
    return replace(frozen, proto=graph.proto, inputs=tuple(spec for spec, _ in chosen), input_tensors=tensors)
