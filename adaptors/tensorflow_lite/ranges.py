"""Ranges of activations, from statistics that were collected once, in the form the quantizer takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from autoq.adaptors.tensorflow_lite.graph import FLOAT32
from autoq.adaptors.tensorflow_lite.model import LiteModel
from autoq.adaptors.tensorflow_lite.ops import MOVES, LiteOp
from autoq.calibration.thresholds import activation_range
from autoq.core.errors import TrialError
from autoq.core.plan import Plan
from autoq.core.precision import Mode, TensorQuant
from autoq.core.statistics import Calibration

Ranges = dict[str, dict[str, NDArray[np.float32]]]
"""``min`` and ``max`` by tensor name, as the quantizer's own calibration leaves them."""


def observable(model: LiteModel, ops: Mapping[str, LiteOp]) -> tuple[str, ...]:
    """Names of the float tensors that static ops, and nodes that move what they make, read and make.

    What is made but never read, e.g. the other half of a split, is not computed everywhere, and is left out.
    """
    graph = model.graph
    used = graph.consumers.keys() | set(graph.outputs)
    chosen = {op.node for op in ops.values()}
    found: dict[str, None] = {}
    for node in graph.nodes:
        if node.index in chosen or node.type in MOVES:
            for index in (*graph.activations(node), *node.outputs):
                if graph.tensors[index].type == FLOAT32 and index in used:
                    found[graph.tensors[index].name] = None
    return tuple(found)


def ranges(model: LiteModel, plan: Plan, calibration: Calibration | None) -> Ranges:
    """Ranges of all calibrated tensors under a plan; empty where it has no static op.

    Raises:
        TrialError: There are no statistics of a tensor.
    """
    if not any(p.mode is Mode.STATIC for p in plan.precisions.values()):
        return {}
    if calibration is None:
        raise TrialError("a plan with static ops needs calibration data, and there are none")
    asked = observers(model, plan)
    missing = next((name for name in asked if name not in calibration.tensors), None)
    if missing is not None:
        raise TrialError(
            "the calibration has no statistics of this tensor",
            where=missing,
            hint="calibrate again: the cached statistics belong to another search space",
        )
    default = next(iter(asked.values()))
    found: Ranges = {}
    for name in calibration.tensors:
        low, high = _range(model, calibration, name, asked.get(name, default))
        found[name] = {"min": np.asarray([low], np.float32), "max": np.asarray([high], np.float32)}
    return found


def observers(model: LiteModel, plan: Plan) -> dict[str, TensorQuant]:
    """How each tensor that a static op touches is quantized.

    An op that reads a tensor and has a weight decides, else one that reads it, else the one that makes it; of
    several the first. Tensors have one grid, whoever reads them.
    """
    decided: dict[str, tuple[int, TensorQuant]] = {}
    for op, quant in _static(model, plan):
        reads = 0 if op.weight is not None else 1
        for rank, tensors in ((reads, op.activations), (2, (op.output,))):
            for index in tensors:
                name = model.graph.tensors[index].name
                if name not in decided or rank < decided[name][0]:
                    decided[name] = (rank, quant)
    return {name: quant for name, (_, quant) in decided.items()}


def _static(model: LiteModel, plan: Plan) -> Iterator[tuple[LiteOp, TensorQuant]]:
    for op in model.ops:
        precision = plan[op.id]
        if precision.mode is Mode.STATIC and precision.activation is not None:
            yield op, precision.activation


def _range(model: LiteModel, calibration: Calibration, name: str, quant: TensorQuant) -> tuple[float, float]:
    key = (calibration.digest, name, quant)
    if key not in model.memo:
        model.memo[key] = activation_range(calibration.tensors[name], quant)
    low, high = model.memo[key]
    return float(low), float(high)
