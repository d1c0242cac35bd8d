"""Exporting plans as ONNX files, for all PyTorch routes. Needs onnx and onnxscript only when it is used."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType

from autoq.adaptors.pytorch.guard import copy_of
from autoq.adaptors.pytorch.model import TorchModel
from autoq.adaptors.pytorch.reference import Reference, notes_of, static_part
from autoq.core.batch import Array, Inputs
from autoq.core.capability import Op
from autoq.core.deployment import ExportedModel, ExportSettings
from autoq.core.errors import MissingDependencyError
from autoq.core.plan import Plan

MakeReference = Callable[[], Reference]
"""Makes the reference of a plan's static ops."""


def export_onnx(
    model: TorchModel, ops: Sequence[Op], plan: Plan, make: MakeReference, file: Path, settings: ExportSettings
) -> ExportedModel:
    """Write what a plan describes as one ONNX file.

    Args:
        model: The fp32 model.
        ops: Its ops in execution order.
        plan: The plan.
        make: Makes its reference; not called when nothing in it is static.
        file: Where.
        settings: How.

    Raises:
        MissingDependencyError: The ONNX packages are not installed.
        TrialError: The exporter cannot carry the model.
    """
    exporter = _exporter()
    found: ExportedModel = exporter.export(_reference(model, ops, plan, make), model, file, settings)
    return found


def exported_tensors(
    model: TorchModel, ops: Sequence[Op], plan: Plan, make: MakeReference, tensors: Sequence[str], inputs: Inputs
) -> Mapping[str, Array]:
    """What the tensors of an exported file hold when PyTorch computes them."""
    found: Mapping[str, Array] = _exporter().tensors_of(_reference(model, ops, plan, make), model, tensors, inputs)
    return found


def _reference(model: TorchModel, ops: Sequence[Op], plan: Plan, make: MakeReference) -> Reference:
    if len(static_part(plan)):
        return make()
    return Reference(copy_of(model.module, share_weights=True), ops, frozenset(), notes_of(plan))


def _exporter() -> ModuleType:
    for package in ("onnx", "onnxscript", "onnxruntime"):
        try:
            importlib.import_module(package)
        except ImportError as error:
            raise MissingDependencyError(
                f"exporting PyTorch models needs the package '{package}', which is not installed",
                hint="pip install 'autoq[deployment]'",
            ) from error
    return importlib.import_module("autoq.adaptors.pytorch.onnx_export")
