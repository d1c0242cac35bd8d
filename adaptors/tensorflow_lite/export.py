"""Plans as files for deployment: the ``.tflite`` file a plan makes is what is deployed."""

from __future__ import annotations

from pathlib import Path

from autoq.adaptors.tensorflow_lite.build import build
from autoq.adaptors.tensorflow_lite.model import LiteModel
from autoq.adaptors.tensorflow_lite.realized import realized_plan
from autoq.core.deployment import ExportedModel, ExportedOp
from autoq.core.plan import Plan
from autoq.core.statistics import Calibration


def export_tflite(model: LiteModel, plan: Plan, calibration: Calibration | None, file: Path) -> ExportedModel:
    """Write the file a plan describes.

    Raises:
        TrialError: The plan has no such form.
    """
    content = build(model, plan, calibration)
    file.write_bytes(content)
    # Quantized is what computes in integers: weights alone leave the arithmetic in float.
    realized = realized_plan(model, plan, content) if plan.precisions else Plan({})
    quantized = {op for op, precision in realized.precisions.items() if precision.activation is not None}
    return ExportedModel(file, tuple(ExportedOp(op.id, op.id, op.id, op.id in quantized) for op in model.ops))
