"""The converted graph with equal numbers in less time: what trials are scored on before they are compiled.

Weights are dequantized once instead of at every call, and a pair of quantize and dequantize runs as one kernel; both
give the very bits of the converted graph.
"""

from __future__ import annotations

import torch
from torch import fx

from autoq.adaptors.pytorch_pt2e.graph import attribute, shared_copy, tensor_of

decomposed = torch.ops.quantized_decomposed
_QUANTIZE = decomposed.quantize_per_tensor.default
_DEQUANTIZE = decomposed.dequantize_per_tensor.default
_DEQUANTIZE_WEIGHT = decomposed.dequantize_per_channel.default


def faster(converted: fx.GraphModule) -> fx.GraphModule:
    """A graph with the outputs of a converted one, bit by bit."""
    result = shared_copy(converted)
    graph = result.graph
    for node in list(graph.nodes):
        if node.target is _DEQUANTIZE_WEIGHT and node.args[0].op == "get_attr":
            arguments = [tensor_of(result, a) if isinstance(a, fx.Node) else a for a in node.args]
            with graph.inserting_before(node):
                weight = attribute(result, node.name, node.target(*arguments))
            node.replace_all_uses_with(weight)
            graph.erase_node(node)
        elif node.target is _QUANTIZE:
            _pair(graph, node)
    graph.eliminate_dead_code()
    result.recompile()
    return shared_copy(result)


def _pair(graph: fx.Graph, quantize: fx.Node) -> None:
    source, scale, zero_point, low, high, _ = quantize.args
    readers = [user for user in quantize.users if user.target is _DEQUANTIZE and user.args[1:] == quantize.args[1:]]
    if not readers:
        return
    with graph.inserting_before(quantize):
        both = graph.call_function(
            torch.ops.aten.fake_quantize_per_tensor_affine.default, (source, scale, zero_point, low, high)
        )
    both.meta.update(readers[0].meta)
    for reader in readers:
        reader.replace_all_uses_with(both)
        graph.erase_node(reader)
    if not quantize.users:
        graph.erase_node(quantize)
