"""The passes, in their order."""

from __future__ import annotations

from autoq.adaptors.tensorflow.frozen import Frozen
from autoq.adaptors.tensorflow.graph import Graph


def fold(frozen: Frozen) -> Graph:
    """The graph plans are built from: the same outputs within rounding, fed and fetched tensors under their names."""
    return Graph(frozen.proto, frozen.input_tensors, frozen.output_tensors)
