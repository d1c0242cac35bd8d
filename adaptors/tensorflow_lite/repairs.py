"""What the quantizer leaves inconsistent in a file, made whole."""

from __future__ import annotations

from typing import Any

from ai_edge_quantizer import model_modifier, qtyping

from autoq.adaptors.tensorflow_lite.graph import FLOAT32, Graph, ModelT, Node

_STORED = ("int8", "int16")
_CONVERSIONS = ("QUANTIZE", "DEQUANTIZE")


def named_duplicates(modifier: model_modifier.ModelModifier) -> model_modifier.ModelModifier:
    """A modifier whose copies of shared weights have names of bytes, as other tensors have.

    Copies are named by text, and what is inserted behind one fails to lengthen its name.
    """
    registered = modifier._transformation_performer._transformation_registration
    duplicate = registered[qtyping.QuantTransformation.DUPLICATE_TENSOR]

    def named(wanted: Any) -> Any:
        done = duplicate(wanted)
        tensor = wanted.subgraph.tensors[done.output_tensor_id]
        if isinstance(tensor.name, str):
            tensor.name = tensor.name.encode()
        return done

    registered[qtyping.QuantTransformation.DUPLICATE_TENSOR] = named
    return modifier


def repair(objects: ModelT, graph: Graph) -> bool:
    """Let quantized ops read and make tensors of one type; whether anything had to be changed.

    Args:
        objects: A file as the quantizer leaves it; changed in place.
        graph: Its view.
    """
    changed = False
    for node in graph.nodes:
        changed |= _reads_stored(objects, graph, node)
        changed |= _makes_stored(objects, graph, node)
    return changed


def _reads_stored(objects: ModelT, graph: Graph, node: Node) -> bool:
    """Let an op read a tensor in 8 bits that is float for another reader only, e.g. as an output of the model."""
    if node.type in _CONVERSIONS or not node.outputs:
        return False
    made = graph.tensors[node.outputs[0]]
    changed = False
    for place, index in enumerate(node.inputs):
        maker = graph.producer.get(index)
        if made.type not in _STORED or maker is None or maker.type != "DEQUANTIZE":
            continue
        stored = graph.tensors[maker.inputs[0]]
        grid = (stored.type, stored.scales, stored.zero_points)
        if graph.tensors[index].type == FLOAT32 and grid == (made.type, made.scales, made.zero_points):
            objects.subgraphs[0].operators[node.index].inputs[place] = stored.index
            changed = True
    return changed


def _makes_stored(objects: ModelT, graph: Graph, node: Node) -> bool:
    """Let all that an op with several results makes be of one type, also what nobody reads."""
    made = [graph.tensors[index] for index in node.outputs]
    pattern = next((tensor for tensor in made if tensor.type in _STORED), None)
    if pattern is None:
        return False
    tensors = objects.subgraphs[0].tensors
    unread = [t.index for t in made if t.type == FLOAT32 and t.index not in graph.consumers]
    for index in set(unread).difference(graph.outputs):
        tensors[index].type = tensors[pattern.index].type
        tensors[index].quantization = tensors[pattern.index].quantization
    return bool(unread)
