"""The error each op makes by itself: its node of the quantized file runs alone, fed what the float model computes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from autoq.adaptors.tensorflow_lite.build import build
from autoq.adaptors.tensorflow_lite.calibrator import Observer
from autoq.adaptors.tensorflow_lite.graph import Tensor, graph_of, parse
from autoq.adaptors.tensorflow_lite.isolate import Isolated, isolate
from autoq.adaptors.tensorflow_lite.model import LiteModel
from autoq.adaptors.tensorflow_lite.realized import precision_of
from autoq.adaptors.tensorflow_lite.session import dequantized
from autoq.calibration.output_error import OutputErrors
from autoq.core.adaptor import RunOptions
from autoq.core.batch import Array, Batch
from autoq.core.plan import Plan
from autoq.core.statistics import Calibration

_STORED: Mapping[str, type[np.int8] | type[np.int16]] = {"int8": np.int8, "int16": np.int16}


@dataclass(frozen=True, eq=False)
class _Twin:
    """An op of the quantized file, and the float tensors it is fed and compared with."""

    op: str
    alone: Isolated
    reads: tuple[tuple[str, Tensor], ...]
    output: Tensor


def local_errors(
    model: LiteModel, plan: Plan, calibration: Calibration | None, batches: Iterable[Batch], options: RunOptions
) -> Mapping[str, float]:
    """Relative squared error of each quantized op's output when it is fed float inputs, by op id, in one pass.

    The kernels are LiteRT's own; what an op reads in 8 bits is quantized on its grid first.

    Raises:
        TrialError: The plan names an unknown op, or statistics are missing.
        DataError: The model fails on the data.
    """
    twins = _twins(model, plan, calibration, options)
    errors = OutputErrors()
    if not twins:
        return errors.relative()
    names = tuple(dict.fromkeys(name for twin in twins for name in (twin.op, *(n for n, _ in twin.reads))))
    observer = Observer(model, names, options.threads)
    for batch in batches:
        for _ in observer.run(batch):
            for twin in twins:
                made = twin.alone.run([_stored(observer.tensor(name), tensor) for name, tensor in twin.reads])
                found = dequantized(made, twin.output.scales, twin.output.zero_points).astype(np.float64)
                expected = observer.tensor(twin.op).astype(np.float64)
                errors.add(twin.op, float(np.square(expected - found).sum()), float(np.square(expected).sum()))
    return errors.relative()


def _twins(model: LiteModel, plan: Plan, calibration: Calibration | None, options: RunOptions) -> tuple[_Twin, ...]:
    content = build(model, plan, calibration)
    objects = parse(content)
    graph = graph_of(objects)
    found = []
    for op in model.ops:
        node = graph.by_name[op.id]
        if plan[op.id].is_float or precision_of(graph, node) is None:
            continue
        alone = isolate(objects, graph, node, options.threads)
        original = model.graph.nodes[op.node]
        operands = dict(zip(node.inputs, original.inputs, strict=True))
        reads = tuple((model.graph.tensors[operands[i]].name, graph.tensors[i]) for i in alone.reads)
        found.append(_Twin(op.id, alone, reads, graph.tensors[node.outputs[0]]))
    return tuple(found)


def _stored(array: Array, tensor: Tensor) -> Array:
    """A float tensor as the quantized file holds it."""
    if tensor.type not in _STORED or array.dtype.kind != "f":
        return array
    kind = _STORED[tensor.type]
    limits = np.iinfo(kind)
    steps = np.rint(array / np.float32(tensor.scales[0])) + tensor.zero_points[0]
    stored: Array = np.clip(steps, limits.min, limits.max).astype(kind)
    return stored
