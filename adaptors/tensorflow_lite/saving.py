"""Saved models: a ``.tflite`` file, and what autoq knows of it."""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path
from typing import Any

from autoq.adaptors.tensorflow_lite.candidate import LiteCandidate
from autoq.adaptors.tensorflow_lite.graph import graph_of
from autoq.adaptors.tensorflow_lite.model import Interface
from autoq.adaptors.tensorflow_lite.reading import damage_told, interface_of, parsed, signature_of
from autoq.core.adaptor import Artifact, RunOptions
from autoq.core.errors import ModelError, StoreError, TrialError
from autoq.core.plan import FP32_PLAN, Plan

MODEL = "model.tflite"
DESCRIPTION = "autoq.json"


def save(candidate: LiteCandidate, folder: Path) -> Artifact:
    """Write a candidate into an existing, empty folder.

    Raises:
        StoreError: It cannot be written.
    """
    description = {
        "framework": "tensorflow_lite",
        "ai-edge-litert": importlib.metadata.version("ai-edge-litert"),
        "ai-edge-quantizer": importlib.metadata.version("ai-edge-quantizer"),
        "plan": candidate.plan.to_json(),
        "realized": candidate.realized.to_json(),
        "interface": candidate.interface.to_json(),
    }
    try:
        (folder / MODEL).write_bytes(candidate.content)
        (folder / DESCRIPTION).write_text(json.dumps(description, indent=1), encoding="utf-8")
    except OSError as error:
        raise StoreError(f"the model cannot be written: {error.strerror}", where=str(folder)) from error
    return Artifact(folder, (MODEL, DESCRIPTION))


def load_artifact(path: Path, options: RunOptions) -> LiteCandidate:
    """Load what `save` wrote, or any ``.tflite`` file, float or quantized.

    Raises:
        ModelError: It cannot be read or loaded.
    """
    file = _model_file(path)
    description = path / DESCRIPTION
    content = read(file)
    if file.parent == path and description.is_file():
        plan, interface = _described(description)
    else:
        plan, interface = FP32_PLAN, interface_in(content, str(file))
    try:
        return LiteCandidate(content, plan, interface, None, options)
    except TrialError as error:
        raise ModelError(error.message, where=str(file)) from error


def read(file: Path) -> bytes:
    """Bytes of a file.

    Raises:
        ModelError: It cannot be read.
    """
    try:
        return file.read_bytes()
    except OSError as error:
        raise ModelError(f"the model cannot be read: {error.strerror}", where=str(file)) from error


def interface_in(content: bytes, where: str) -> Interface:
    """How a file is called.

    Raises:
        ModelError: It is no model, or its inputs or outputs are not numbers.
    """
    with damage_told(where):
        model = parsed(content, where)
        return interface_of(graph_of(model), signature_of(model, None, where))


def _described(description: Path) -> tuple[Plan, Interface]:
    try:
        data: dict[str, Any] = json.loads(description.read_text(encoding="utf-8"))
        return Plan.from_json(data["realized"]), Interface.from_json(data["interface"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"the description of the saved model cannot be read: {error}",
            where=str(description),
            hint="give the path of the .tflite file to load it without its description",
        ) from error


def _model_file(path: Path) -> Path:
    if not path.exists():
        raise ModelError("there is no such model file", where=str(path))
    if path.is_file():
        return path
    if (path / MODEL).is_file():
        return path / MODEL
    found = sorted(path.glob("*.tflite"))
    if len(found) != 1:
        names = ", ".join(f.name for f in found[:6]) or "none"
        raise ModelError(f"the folder must hold exactly one .tflite file; it holds: {names}", where=str(path))
    return found[0]
