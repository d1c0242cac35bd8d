"""Quantizes random graphs in every way and prints what is wrong, one line each: to run in a process of its own.

Usage: ``check_random_tf.py SEED ...``
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import small_tf
from random_tf import Array, random_graph

from autoq.adaptors.tensorflow.adaptor import TensorFlowAdaptor
from autoq.core.adaptor import Candidate, ModelSource, RunOptions
from autoq.core.batch import Batch
from autoq.core.capability import CapabilityTable
from autoq.core.plan import FP32_PLAN, Plan
from autoq.core.precision import Mode, Observer
from autoq.core.space import Space

_THREADS = RunOptions(threads=1)
_SAMPLES = 4

# All observers but minmax clip, some of them a lot where there are four samples.
_LIMITS = {True: 0.15, False: 1.0}


def wrong(seed: int) -> Iterator[str]:
    """What is wrong with what the adaptor makes of a graph."""
    proto, outputs, x, _ = random_graph(seed)
    bytes_before = proto.SerializeToString(deterministic=True)
    truth = dict(zip(outputs, small_tf.run(proto, {"x:0": x}, tuple(outputs)), strict=True))
    adaptor = TensorFlowAdaptor()
    model = adaptor.load(ModelSource(proto, outputs=tuple(outputs)))
    names = dict(zip((spec.name for spec in model.outputs), outputs, strict=True))
    table = adaptor.capabilities(model)
    needs = adaptor.needs(model, table)
    calibration = adaptor.calibrate(model, [Batch(x, None, _SAMPLES)], needs)
    fp32 = adaptor.apply(model, FP32_PLAN, None, _THREADS)
    yield from _far(fp32, x, names, truth, 1e-4, "fp32")
    for label, plan in _plans(table, seed).items():
        candidate = adaptor.apply(model, plan, calibration, _THREADS)
        observers = {p.activation.observer for p in plan.precisions.values() if p.activation is not None}
        yield from _far(candidate, x, names, truth, _LIMITS[observers <= {Observer.MINMAX}], label)
        if candidate.realized != plan:
            yield f"{label}: what runs is not what was planned: {set(plan) - set(candidate.realized)}"
        if model.inputs[0].shape is not None and model.inputs[0].shape[0] is None:
            candidate.predict(x[:1])
            candidate.predict(np.concatenate([x, x[:3]]))
        with tempfile.TemporaryDirectory() as folder:
            adaptor.save(candidate, Path(folder))
            again = adaptor.load_artifact(Path(folder), _THREADS)
            kept = {tensor: candidate.predict(x)[name] for name, tensor in names.items()}
            yield from _far(again, x, names, kept, 1e-4, f"{label}, saved")
            again.close()
        candidate.close()
    fp32.close()
    if proto.SerializeToString(deterministic=True) != bytes_before:
        yield "the model was changed"


def _plans(table: CapabilityTable, seed: int) -> Mapping[str, Plan]:
    """All in 8 bits, and each op in any of its precisions."""
    random = np.random.default_rng(seed)
    chosen = {row.op.id: row.precisions[int(random.integers(len(row.precisions)))] for row in table}
    mixed = Plan({op: precision for op, precision in chosen.items() if precision.mode is not Mode.FP32})
    plans = {"full": Space.of(table).full_plan(), "mixed": mixed}
    return {label: plan for label, plan in plans.items() if plan.precisions}


def _far(
    candidate: Candidate, x: Array, names: Mapping[str, str], expected: Mapping[str, Any], limit: float, label: str
) -> Iterator[str]:
    found = candidate.predict(x)
    for name, tensor in names.items():
        if found[name].shape != expected[tensor].shape:
            yield f"{label}: {tensor} has shape {found[name].shape}"
            continue
        size = max(float(np.linalg.norm(expected[tensor])), 1e-3)
        error = float(np.linalg.norm(found[name] - expected[tensor])) / size
        # Written so that NaN is wrong, too.
        if not error <= limit:
            yield f"{label}: {tensor} is off by {error:.3f}"


if __name__ == "__main__":
    for number in map(int, sys.argv[1:]):
        for line in wrong(number):
            sys.stdout.write(f"seed {number}: {line}\n")
    sys.stdout.write("done\n")
