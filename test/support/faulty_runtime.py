"""Runtimes for tests of the deployment gate: ONNX Runtime with a fault."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from autoq.adaptors.onnxrt.adaptor import OnnxAdaptor, qdq
from autoq.core.errors import TrialError

SCALED_NODE = "conv2"
"""The node whose weight scales the faulty runtime gets wrong."""


@dataclasses.dataclass(frozen=True)
class WrongScales(OnnxAdaptor):
    """Computes one convolution with three times its weights."""

    def load_artifact(self, folder, options):
        return super().load_artifact(_altered(folder), options)

    def run_tensors(self, file, tensors, inputs, options):
        return super().run_tensors(_altered(file), tensors, inputs, options)


@dataclasses.dataclass(frozen=True)
class Refusing(OnnxAdaptor):
    """Loads nothing."""

    def load_artifact(self, folder, options):
        raise TrialError("this runtime loads nothing")


def wrong_scales() -> WrongScales:
    """For the registry."""
    return WrongScales(*dataclasses.astuple(qdq()))


def refusing() -> Refusing:
    """For the registry."""
    return Refusing(*dataclasses.astuple(qdq()))


def _altered(file: Path) -> Path:
    model = onnx.load(file)
    nodes = {name: node for node in model.graph.node for name in node.output}
    conv = next(node for node in model.graph.node if node.name == SCALED_NODE)
    producer = nodes.get(conv.input[1])
    wanted = producer.input[1] if producer is not None else conv.input[1]
    if producer is None:
        return file  # the fp32 file is left alone
    for tensor in model.graph.initializer:
        if tensor.name == wanted:
            tensor.CopyFrom(numpy_helper.from_array((3 * numpy_helper.to_array(tensor)).astype(np.float32), wanted))
    target = Path(tempfile.mkdtemp(prefix="autoq-test-")) / file.name
    onnx.save(model, target)
    return target
