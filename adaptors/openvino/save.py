"""Saved models: ONNX with quantize and dequantize nodes, the same in OpenVINO's own format, and what autoq knows."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from onnx import ModelProto, TensorShapeProto, ValueInfoProto, helper

from autoq.adaptors.onnxrt import save as onnx_save
from autoq.adaptors.onnxrt.candidate import Source
from autoq.adaptors.onnxrt.reading import external_files, read_model, total_bytes
from autoq.adaptors.openvino import runtime
from autoq.adaptors.openvino.candidate import OpenVinoCandidate
from autoq.adaptors.openvino.realized import BF16
from autoq.adaptors.openvino.record import tuning_record
from autoq.adaptors.openvino.runtime import CompileSettings
from autoq.core.adaptor import Artifact, RunOptions
from autoq.core.batch import TensorSpec
from autoq.core.errors import ModelError, StoreError, TrialError
from autoq.core.plan import FP32_PLAN

IR, WEIGHTS = "model.xml", "model.bin"
TUNING = "tuning.json"


def save(candidate: OpenVinoCandidate, folder: Path) -> Artifact:
    """Write a candidate into an existing, empty folder.

    Raises:
        StoreError: It cannot be written.
    """
    source, realized = candidate.source, candidate.realized
    quantized = candidate.origin.quantized if candidate.origin is not None else None
    description = {
        "framework": "openvino",
        "openvino": ov.__version__,
        "plan": candidate.plan.to_json(),
        "realized": realized.to_json(),
        "inference_precision": "bf16" if candidate.settings.bf16 else "f32",
        "int8_nodes": candidate.int8_nodes,
    }
    try:
        if is_ir(source.model):
            files = _copy_ir(Path(str(source.model)), folder)
        else:
            files = onnx_save.write_model(source, folder)
            ov.save_model(runtime.read_model(folder / onnx_save.MODEL), str(folder / IR), compress_to_fp16=False)
            files += [IR, WEIGHTS]
        _write(folder / TUNING, tuning_record(quantized, realized))
        _write(folder / onnx_save.DESCRIPTION, description)
    except OSError as error:
        raise StoreError(f"the model cannot be written: {error.strerror}", where=str(folder)) from error
    except RuntimeError as error:
        raise StoreError(f"OpenVINO cannot write the model: {runtime.reason(error)}", where=str(folder)) from error
    return Artifact(folder, (*files, TUNING, onnx_save.DESCRIPTION))


def load_artifact(path: Path, options: RunOptions) -> OpenVinoCandidate:
    """Load what `save` wrote, or any ONNX model or model in OpenVINO's own format.

    Raises:
        ModelError: It cannot be read or loaded.
    """
    model = model_file(path)
    description = model.parent / onnx_save.DESCRIPTION
    ours = model.parent == path and description.is_file()
    plan = onnx_save.read_realized(description) if ours else FP32_PLAN
    settings = CompileSettings(options.threads, bf16=BF16 in plan.recipes)
    try:
        if is_ir(model):
            weights = model.with_suffix(".bin")
            size = total_bytes(*(file for file in (model, weights) if file.is_file()))
            return OpenVinoCandidate(Source(model, None, size), plan, settings)
        proto = read_model(model)
        size = total_bytes(model, *external_files(proto, model.parent))
        inputs, outputs = _interface(proto)
        return OpenVinoCandidate(Source(model, None, size), plan, settings, inputs, outputs)
    except TrialError as error:
        raise ModelError(error.message, where=str(model)) from error


def model_file(path: Path) -> Path:
    """The model: the path itself, what `save` wrote, or the only model of a folder.

    Raises:
        ModelError: There is no such file, or no single one.
    """
    if not path.exists():
        raise ModelError("there is no such model file", where=str(path))
    if path.is_file():
        return path
    for name in (onnx_save.MODEL, IR):
        if (path / name).is_file():
            return path / name
    found = sorted([*path.glob("*.onnx"), *path.glob("*.xml")])
    if len(found) != 1:
        names = ", ".join(f.name for f in found[:6]) or "none"
        raise ModelError(f"the folder must hold exactly one .onnx or .xml file; it holds: {names}", where=str(path))
    return found[0]


def is_ir(model: bytes | Path) -> bool:
    """Whether a model is a file in OpenVINO's own format."""
    return isinstance(model, Path) and model.suffix == ".xml"


def _interface(proto: ModelProto) -> tuple[tuple[TensorSpec, ...], tuple[str, ...]]:
    """Inputs and names of the outputs as the file lists them, those that nothing reads included."""
    constants = {tensor.name for tensor in proto.graph.initializer}
    inputs = (value for value in proto.graph.input if value.name not in constants)
    return tuple(_spec(value) for value in inputs), tuple(output.name for output in proto.graph.output)


def _spec(value: ValueInfoProto) -> TensorSpec:
    tensor = value.type.tensor_type
    dtype = np.dtype(helper.tensor_dtype_to_np_dtype(tensor.elem_type)).name
    if not tensor.HasField("shape"):
        return TensorSpec(value.name, dtype, None)
    return TensorSpec(value.name, dtype, tuple(_axis(axis) for axis in tensor.shape.dim))


def _axis(axis: TensorShapeProto.Dimension) -> int | str | None:
    # Some exporters write -1, or call every axis of unknown size '?'.
    if axis.HasField("dim_value"):
        return axis.dim_value if axis.dim_value >= 0 else None
    return axis.dim_param if axis.dim_param.strip("?") else None


def _copy_ir(model: Path, folder: Path) -> list[str]:
    shutil.copyfile(model, folder / IR)
    weights = model.with_suffix(".bin")
    if not weights.is_file():
        return [IR]
    shutil.copyfile(weights, folder / WEIGHTS)
    return [IR, WEIGHTS]


def _write(path: Path, data: dict[str, Any]) -> None:
    path.write_text(json.dumps(data, indent=1), encoding="utf-8")
