"""Forms of nodes that TensorFlow's own optimizer, grappler, fuses into others that do not run or end the process."""

from __future__ import annotations

import numpy as np

from autoq.adaptors.tensorflow.graph import Graph, NodeDef, attribute, data_inputs
from autoq.adaptors.tensorflow.passes.batch_norm import inference_norm
from autoq.adaptors.tensorflow.passes.rewrite import Rewrite, set_type
from autoq.adaptors.tensorflow.runtime import tf

# A fused BatchNorm and Relu refuses any other number of channels; grappler fuses them all the same.
_CHANNELS = 4


def separate_padding(graph: Graph) -> Graph:
    """Explicit padding of a depthwise convolution as a node before it: the fused float kernel has no such padding."""
    rewrite = Rewrite(graph)
    for node in graph.nodes:
        sizes = list(attribute(node, "explicit_paddings").list.i)
        if node.op != "DepthwiseConv2dNative" or attribute(node, "padding").s != b"EXPLICIT" or len(sizes) != 8:
            continue
        if attribute(node, "data_format").s not in (b"", b"NHWC"):
            continue
        tensor = data_inputs(node)[0]
        if any(sizes):
            table = rewrite.constant(node.name, np.asarray(sizes, np.int32).reshape(4, 2))
            pad = set_type(rewrite.add("Pad", node.name, (tensor, table)), graph.dtype(tensor))
            pad.attr["Tpaddings"].type = tf.int32.as_datatype_enum
            tensor = f"{pad.name}:0"
        changed = rewrite.node(node.name)
        changed.input[0] = tensor
        changed.attr["padding"].s = b"VALID"
        del changed.attr["explicit_paddings"]
    return rewrite.finish()


def spell_out_norms(graph: Graph) -> Graph:
    """BatchNorm of a number of channels that grappler's fusion with Relu fails on, as product and sum."""
    rewrite = Rewrite(graph)
    for node in graph.nodes:
        _spell_out(graph, node, rewrite)
    return rewrite.finish()


def _spell_out(graph: Graph, node: NodeDef, rewrite: Rewrite) -> None:
    shape = graph.shape(f"{node.name}:0") if node.op.startswith("FusedBatchNorm") else None
    if not shape or shape[-1] is None or shape[-1] % _CHANNELS == 0 or graph.dtype(f"{node.name}:0") != "float32":
        return
    affine = inference_norm(graph, node, shape[-1])
    if affine is None:
        return
    factor, offset = (rewrite.constant(node.name, value.astype(np.float32)) for value in affine)
    product = set_type(rewrite.add("Mul", node.name, (data_inputs(node)[0], factor)))
    set_type(rewrite.become(node.name, "AddV2", (f"{product.name}:0", offset)))
