"""Grappler on a graph without its weights.

Inside a session grappler takes over a second on a network of ten million weights, most of it for copying 8-bit
constants element by element. What it does here, fusing float ops and dropping nodes that do nothing, reads no large
constant; so it is given stand-ins, and the constants are put back afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from autoq.adaptors.tensorflow.graph import GraphDef, NodeDef, node_name
from autoq.adaptors.tensorflow.runtime import op_def_registry, tf

_LARGE_BYTES = 1024
_READER = "autoq/reader_"
_DEVICE = "/job:localhost/replica:0/task:0/device:CPU:0"

# Rewrites that compute with constants would compute with the stand-ins.
_OFF = (
    "layout_optimizer",
    "constant_folding",
    "shape_optimization",
    "common_subgraph_elimination",
    "arithmetic_optimization",
    "loop_optimization",
    "function_optimization",
    "debug_stripper",
    "scoped_allocator_optimization",
    "pin_to_host_optimization",
)


def optimized(proto: GraphDef, kept: Sequence[str]) -> GraphDef:
    """A graph that computes the same with fewer nodes. Raises whatever TensorFlow raises.

    Args:
        proto: The graph, without functions; not changed.
        kept: Tensors that have to stay: what is fed and fetched.
    """
    # Here, since TensorFlow must have been imported silently before.
    from tensorflow.core.protobuf import meta_graph_pb2
    from tensorflow.python.grappler import tf_optimizer

    meta = meta_graph_pb2.MetaGraphDef()
    meta.graph_def.versions.CopyFrom(proto.versions)
    large: dict[str, NodeDef] = {}
    for node in proto.node:
        made = meta.graph_def.node.add()
        if node.op == "Const" and node.attr["value"].ByteSize() > _LARGE_BYTES:
            large[node.name] = node
            _stand_in(made, node, len(large))
        else:
            made.CopyFrom(node)
        # Only nodes with a place are fused.
        made.device = _DEVICE
    meta.collection_def["train_op"].node_list.value.extend([*kept, *_readers(meta.graph_def, kept)])
    result = tf_optimizer.OptimizeGraph(_config(), meta)
    for node in result.node:
        if node.name in large:
            node.CopyFrom(large[node.name])
        node.device = ""
    left = [node for node in result.node if not node.name.startswith(_READER)]
    del result.node[:]
    result.node.extend(left)
    return result


def _readers(graph: GraphDef, kept: Sequence[str]) -> list[str]:
    """Let a node read each kept tensor, so that nothing that makes it is fused with what else reads it.

    Grappler keeps no tensor inside of a convolution with sum and LeakyRelu, even when it is fetched.
    """
    nodes, made = {node.name: node for node in graph.node}, list[str]()
    for tensor in dict.fromkeys(kept):
        node, index = nodes[node_name(tensor)], int(tensor.partition(":")[2] or 0)
        dtype = _dtype(node, index)
        if node.op in ("Placeholder", "Const") or dtype is None:
            continue
        reader = graph.node.add(name=f"{_READER}{len(made)}", op="Identity", input=[tensor], device=_DEVICE)
        reader.attr["T"].type = dtype
        made.append(reader.name)
    return made


def _dtype(node: NodeDef, index: int) -> int | None:
    """Type of an output whose operator names it in one attribute; None for any other."""
    definition = op_def_registry.get(node.op)
    results = definition.output_arg if definition is not None else ()
    if index >= len(results) or results[index].number_attr or not (results[index].type_attr or results[index].type):
        return None
    argument = results[index]
    found: int = node.attr[argument.type_attr].type if argument.type_attr else argument.type
    return found


def _stand_in(made: NodeDef, node: NodeDef, number: int) -> None:
    """A constant of the same type and shape that takes no memory, and is like no other."""
    tensor = node.attr["value"].tensor
    made.name = node.name
    made.attr["dtype"].CopyFrom(node.attr["dtype"])
    if tensor.dtype == tf.float32.as_datatype_enum:
        # Float ops are only fused with constants.
        made.op = "Const"
        value = made.attr["value"].tensor
        value.dtype = tensor.dtype
        value.tensor_shape.CopyFrom(tensor.tensor_shape)
        value.float_val.append(float(number))
    else:
        made.op = "Placeholder"
        made.attr["shape"].shape.CopyFrom(tensor.tensor_shape)


def _config() -> Any:
    config = tf.compat.v1.ConfigProto()
    rewrites = config.graph_options.rewrite_options
    for name in _OFF:
        setattr(rewrites, name, type(rewrites).OFF)
    rewrites.memory_optimization = type(rewrites).NO_MEM_OPT
    rewrites.meta_optimizer_iterations = type(rewrites).ONE
    rewrites.min_graph_nodes = -1
    return config
