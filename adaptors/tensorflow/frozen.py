"""What reading a model leaves behind, whatever form it came in."""

from __future__ import annotations

from dataclasses import dataclass

from autoq.adaptors.tensorflow.graph import GraphDef
from autoq.core.batch import TensorSpec


@dataclass(frozen=True, eq=False)
class Frozen:
    """A model as one graph without variables and functions.

    Attributes:
        proto: The graph.
        inputs: What it takes, by the names of its signature, in order.
        outputs: What it gives, by the names of its signature, in order.
        input_tensors: The tensor each input is fed into.
        output_tensors: The tensor each output is fetched from.
        signature: Name of the signature, ``serving_default`` where it has none.
        origin: What was read, e.g. ``Keras model resnet18`` or a path; for messages.
        notes: What a user should know.
    """

    proto: GraphDef
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    input_tensors: tuple[str, ...]
    output_tensors: tuple[str, ...]
    signature: str
    origin: str
    notes: tuple[str, ...] = ()
