"""A plan as the ``.tflite`` file that is deployed: the very file a candidate runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from autoq.adaptors.tensorflow_lite.build import build
from autoq.adaptors.tensorflow_lite.deployed import run_tensors
from autoq.adaptors.tensorflow_lite.model import LiteModel
from autoq.adaptors.tensorflow_lite.realized import realized_plan
from autoq.core.adaptor import RunOptions
from autoq.core.batch import Array, Inputs
from autoq.core.deployment import ExportedModel, ExportedOp
from autoq.core.errors import TrialError
from autoq.core.plan import Plan
from autoq.core.precision import Mode
from autoq.core.statistics import Calibration


def export_tflite(model: LiteModel, plan: Plan, calibration: Calibration | None, file: Path) -> ExportedModel:
    """Write what a plan describes as one ``.tflite`` file.

    Raises:
        TrialError: The plan cannot be built or written.
    """
    content = build(model, plan, calibration)
    try:
        file.write_bytes(content)
    except OSError as error:
        raise TrialError(f"the model cannot be written: {error.strerror}", where=str(file)) from error
    realized = realized_plan(model, plan, content)
    ops = tuple(
        ExportedOp(op.id, op.id, op.id, realized[op.id].mode in (Mode.STATIC, Mode.DYNAMIC)) for op in model.ops
    )
    return ExportedModel(file, ops)


def exported_tensors(exported: ExportedModel, tensors: Sequence[str], inputs: Inputs) -> Mapping[str, Array]:
    """What the tensors of an exported file should hold, by LiteRT's reference kernels."""
    return run_tensors(exported.file, tensors, inputs, RunOptions(threads=1), reference=True)
