"""Saved models: an ONNX file, its external data if it has any, and what autoq knows of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import onnxruntime as ort
from onnx import ModelProto, TensorProto

from autoq.adaptors.onnxrt.candidate import OnnxCandidate, Source
from autoq.adaptors.onnxrt.reading import external_files, model_path, read_model, total_bytes
from autoq.core.adaptor import Artifact, RunOptions
from autoq.core.errors import ModelError, StoreError, TrialError
from autoq.core.plan import FP32_PLAN, Plan

MODEL = "model.onnx"
DATA = "model.data"
DESCRIPTION = "autoq.json"

_ALIGNMENT = 4096
_BLOCK = 1 << 24


def save(candidate: OnnxCandidate, folder: Path, framework: str) -> Artifact:
    """Write a candidate into an existing, empty folder.

    Raises:
        StoreError: It cannot be written.
    """
    source = candidate.source
    try:
        files = write_model(source, folder)
        description = {
            "framework": framework,
            "onnxruntime": ort.__version__,
            "plan": candidate.plan.to_json(),
            "realized": candidate.realized.to_json(),
        }
        (folder / DESCRIPTION).write_text(json.dumps(description, indent=1), encoding="utf-8")
    except OSError as error:
        raise StoreError(f"the model cannot be written: {error.strerror}", where=str(folder)) from error
    return Artifact(folder, (*files, DESCRIPTION))


def load_artifact(path: Path, options: RunOptions) -> OnnxCandidate:
    """Load what `save` wrote, or any ONNX model.

    Raises:
        ModelError: It cannot be read or loaded.
    """
    model = path / MODEL if (path / MODEL).is_file() else model_path(path)
    proto = read_model(model)
    files = external_files(proto, model.parent)
    plan = FP32_PLAN
    if model.parent == path and (path / DESCRIPTION).is_file():
        plan = read_realized(path / DESCRIPTION)
    try:
        return OnnxCandidate(Source(model, None, total_bytes(model, *files)), plan, None, options)
    except TrialError as error:
        raise ModelError(error.message, where=str(model)) from error


def write_model(source: Source, folder: Path) -> list[str]:
    """Write the model, and its external data if it has any, into a folder; names of the files."""
    if isinstance(source.model, bytes) and source.folder is None:
        (folder / MODEL).write_bytes(source.model)
        return [MODEL]
    return _save_with_data(source, folder)


def read_realized(description: Path) -> Plan:
    """The plan that a saved model realizes.

    Raises:
        ModelError: The description cannot be read.
    """
    try:
        data: dict[str, Any] = json.loads(description.read_text(encoding="utf-8"))
        return Plan.from_json(data["realized"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"the description of the saved model cannot be read: {error}",
            where=str(description),
            hint="give the path of the .onnx file to load it without its description",
        ) from error


def _save_with_data(source: Source, folder: Path) -> list[str]:
    """Write a model whose weights lie in other files; they are copied, one after the other, into one."""
    if isinstance(source.model, Path):
        proto, base = read_model(source.model), source.model.parent
    else:
        assert source.folder is not None
        proto, base = ModelProto.FromString(source.model), source.folder
    external = [t for t in proto.graph.initializer if t.data_location == TensorProto.EXTERNAL]
    if external:
        with (folder / DATA).open("wb") as target:
            for tensor in external:
                _move(tensor, base, target)
    (folder / MODEL).write_bytes(proto.SerializeToString())
    return [MODEL, DATA] if external else [MODEL]


def _move(tensor: TensorProto, base: Path, target: Any) -> None:
    entry = {e.key: e.value for e in tensor.external_data}
    path = base / entry["location"]
    start = int(entry.get("offset", 0))
    left = int(entry.get("length", 0)) or path.stat().st_size - start
    offset = -(-target.tell() // _ALIGNMENT) * _ALIGNMENT
    target.seek(offset)
    tensor.ClearField("external_data")
    for key, value in (("location", DATA), ("offset", str(offset)), ("length", str(left))):
        tensor.external_data.add(key=key, value=value)
    with path.open("rb") as file:
        file.seek(start)
        while left > 0 and (block := file.read(min(_BLOCK, left))):
            target.write(block)
            left -= len(block)
