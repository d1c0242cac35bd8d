"""A loaded TensorFlow model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from autoq.adaptors.tensorflow.frozen import Frozen
from autoq.adaptors.tensorflow.fusion import Fusion
from autoq.adaptors.tensorflow.graph import Graph
from autoq.core.batch import TensorSpec


@dataclass(frozen=True, eq=False)
class TensorFlowModel:
    """A loaded fp32 model. Never changed after loading.

    Attributes:
        frozen: The model as it was given, frozen.
        fusion: The folded graph every plan is built from, and its quantizable ops. Fed and fetched tensors are called
            as in `frozen`.
        fingerprint: Content address of graph and weights.
        size_bytes: Bytes of the frozen graph.
        notes: What a user should know.
        memo: Results derived from this model that plans share, e.g. quantized weights.
    """

    frozen: Frozen
    fusion: Fusion
    fingerprint: str
    size_bytes: int
    notes: tuple[str, ...] = ()
    memo: dict[Any, Any] = field(default_factory=dict, repr=False)

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """What it takes."""
        return self.frozen.inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """What it gives."""
        return self.frozen.outputs

    @property
    def graph(self) -> Graph:
        """The folded graph."""
        return self.fusion.graph
