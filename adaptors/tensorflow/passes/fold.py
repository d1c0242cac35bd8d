"""The passes, in their order."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from autoq.adaptors.tensorflow.frozen import Frozen
from autoq.adaptors.tensorflow.graph import Graph
from autoq.adaptors.tensorflow.passes.batch_norm import fold_batch_norm
from autoq.adaptors.tensorflow.passes.clean import clean
from autoq.adaptors.tensorflow.passes.constants import fold_constants
from autoq.adaptors.tensorflow.passes.dense import bias_before_reshape, split_batched_products
from autoq.adaptors.tensorflow.passes.einsum import split_einsums
from autoq.adaptors.tensorflow.passes.grappler import separate_padding, spell_out_norms
from autoq.adaptors.tensorflow.passes.shapes import fold_shapes, merge_reshapes

PASSES: Sequence[Callable[[Graph], Graph]] = (
    clean,
    fold_constants,
    fold_shapes,
    split_batched_products,
    split_einsums,
    merge_reshapes,
    bias_before_reshape,
    fold_batch_norm,
    separate_padding,
    spell_out_norms,
)


def fold(frozen: Frozen) -> Graph:
    """The graph plans are built from: the same outputs within rounding, fed and fetched tensors under their names."""
    graph = Graph(frozen.proto, frozen.input_tensors, frozen.output_tensors)
    for change in PASSES:
        graph = change(graph)
    return graph
