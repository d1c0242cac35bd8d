"""Plans for OpenVINO as files that every runtime reads: what the adaptor builds is that already."""

from __future__ import annotations

from pathlib import Path

from autoq.adaptors.onnxrt.export import exported_model, write
from autoq.adaptors.onnxrt.model import OnnxModel
from autoq.adaptors.openvino.build import build
from autoq.core.deployment import ExportedModel, ExportSettings
from autoq.core.errors import AutoqError, TrialError
from autoq.core.plan import Plan
from autoq.core.statistics import Calibration


def export_onnx(
    model: OnnxModel, plan: Plan, calibration: Calibration | None, file: Path, settings: ExportSettings
) -> ExportedModel:
    """Write a plan's model; its float parts are float32, also where the plan runs them in bf16.

    Raises:
        TrialError: The plan cannot be built.
    """
    notes = ("bf16 parts are exported in float32",) if plan.recipes else ()
    try:
        proto = build(model, Plan(plan.precisions), calibration).proto
    except TrialError:
        raise
    except AutoqError as error:
        raise TrialError(error.message, where=error.where, hint=error.hint) from error
    write(proto, file, model.folder)
    return exported_model(model, proto, frozenset(plan), file, settings, notes)
