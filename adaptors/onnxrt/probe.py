"""Does a cell of the capability table really run quantized here, and is it faster? One micro-model per cell."""

from __future__ import annotations

import json
import os
import platform
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnxruntime as ort
from onnx import ModelProto, TensorProto, helper, numpy_helper

from autoq.adaptors.onnxrt.build import Format, build, observable
from autoq.adaptors.onnxrt.candidate import OnnxCandidate, Source
from autoq.adaptors.onnxrt.capabilities import Costs, support
from autoq.adaptors.onnxrt.model import OnnxModel, load
from autoq.adaptors.onnxrt.profile import profile
from autoq.adaptors.onnxrt.realized import OwnerIndex
from autoq.core.adaptor import ModelSource, ProbedCell, RunOptions
from autoq.core.digest import digest_of
from autoq.core.errors import AutoqError
from autoq.core.plan import FP32_PLAN, Plan
from autoq.core.precision import OpPrecision
from autoq.core.statistics import Calibration, TensorStatistics

_OP = "probed"
_FLOAT = TensorProto.FLOAT
_THREADS = RunOptions(threads=1)


def probe(progress: Callable[[str], None] = lambda _: None) -> tuple[ProbedCell, ...]:
    """Run every cell of the capability table on this machine, and remember the result.

    Args:
        progress: Told the cell that is about to run.
    """
    cells = []
    for label, entry in support().ops.items():
        model = load(ModelSource(_micro_model(label)))
        fp32 = _seconds(model, FP32_PLAN, None)
        measured: dict[str, ProbedCell] = {}
        for cell in entry.cells:
            # How ranges were chosen does not change the kernel.
            kernel = f"{cell.precision.mode} {cell.precision.weight.granularity if cell.precision.weight else ''}"
            if kernel not in measured:
                progress(f"{label}: {cell.precision.label}")
                measured[kernel] = _probe_cell(label, model, cell.precision, fp32)
            found = measured[kernel]
            cells.append(ProbedCell(label, cell.precision.label, found.quantized, found.cost, found.note))
    _write(cells)
    return tuple(cells)


def probed() -> tuple[ProbedCell, ...]:
    """What was probed on this machine with this version; empty when nothing was, or when it cannot be read."""
    try:
        rows = json.loads(cache_file().read_text(encoding="utf-8"))
        return tuple(
            ProbedCell(str(r["type"]), str(r["precision"]), bool(r["quantized"]), r["cost"], str(r["note"]))
            for r in rows
        )
    except (OSError, ValueError, KeyError, TypeError):
        return ()


def probed_costs() -> Costs:
    """`probed` by op label and precision; None for a cell that does not run quantized."""
    return {(c.type, c.precision): c.cost if c.quantized else None for c in probed()}


def cache_file() -> Path:
    """Where results for this machine and version are kept."""
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return root / "autoq" / "probe" / f"onnxruntime-{ort.__version__}-{_machine()}.json"


def _probe_cell(label: str, model: OnnxModel, precision: OpPrecision, fp32: float) -> ProbedCell:
    plan = Plan({_OP: precision})
    try:
        candidate = _candidate(model, plan, _statistics(model))
        with_kernel = _OP in candidate.realized
        seconds = _profiled(model, candidate)
    except AutoqError as error:
        return ProbedCell(label, precision.label, False, None, error.message)
    if not with_kernel:
        return ProbedCell(label, precision.label, False, None, "runs in float")
    return ProbedCell(label, precision.label, True, round(seconds / fp32, 3) if fp32 else None, "")


def _seconds(model: OnnxModel, plan: Plan, calibration: Calibration | None) -> float:
    return _profiled(model, _candidate(model, plan, calibration))


def _candidate(model: OnnxModel, plan: Plan, calibration: Calibration | None) -> OnnxCandidate:
    data = build(model, plan, calibration, Format.QOPERATOR).SerializeToString()
    return OnnxCandidate(Source(data, None, len(data)), plan, model.fusion, _THREADS)


def _profiled(model: OnnxModel, candidate: OnnxCandidate) -> float:
    assert candidate.fusion is not None
    random = np.random.default_rng(0)
    inputs = {
        spec.name: random.standard_normal([s if isinstance(s, int) else 1 for s in spec.shape or ()]).astype(np.float32)
        for spec in model.inputs
    }
    candidate.predict(inputs)
    return profile(candidate, OwnerIndex(candidate.fusion), inputs).seconds.get(_OP, 0.0)


def _statistics(model: OnnxModel) -> Calibration:
    whole = TensorStatistics(-4.0, 4.0, np.ones(16, np.int64), -4.0, 4.0, 16)
    return Calibration(dict.fromkeys(observable(model.fusion, model.fusion.ops), whole), 1, "probe")


def _micro_model(label: str) -> ModelProto:
    """One op of a size at which its kernel, not its call, is what takes the time."""
    image, rows = [1, 64, 28, 28], [1, 64, 256]
    match label:
        case "Conv":
            return _model([image], ["x", "w"], "Conv", {"w": [64, 64, 3, 3]}, pads=[1, 1, 1, 1])
        case "MatMul":
            return _model([rows], ["x", "w"], "MatMul", {"w": [256, 512]})
        case "MatMul (activations)":
            return _model([[1, 4, 64, 64]] * 2, ["x", "x1"], "MatMul", {})
        case "Gemm":
            return _model([[64, 256]], ["x", "w", "b"], "Gemm", {"w": [256, 512], "b": [512]})
        case "LSTM":
            weights = {"w": [1, 512, 128], "r": [1, 512, 128], "b": [1, 1024]}
            return _model([[16, 1, 128]], ["x", "w", "r", "b"], "LSTM", weights, hidden_size=128)
        case "Add" | "Mul":
            return _model([image] * 2, ["x", "x1"], label, {})
        case "Concat":
            return _model([image] * 2, ["x", "x1"], label, {}, axis=1)
        case "Div":
            return _model([image], ["x", "w"], label, {"w": [1]})
        case "AveragePool":
            return _model([image], ["x"], label, {}, kernel_shape=[2, 2], strides=[2, 2])
        case _:
            return _model([image], ["x"], label, {})


def _model(
    shapes: Sequence[Sequence[int]],
    inputs: Sequence[str],
    op_type: str,
    weights: Mapping[str, Sequence[int]],
    **attributes: int | list[int],
) -> ModelProto:
    random = np.random.default_rng(0)
    names = ["x", *(f"x{i}" for i in range(1, len(shapes)))]
    constants = [
        numpy_helper.from_array(random.standard_normal(shape).astype(np.float32), name)
        for name, shape in weights.items()
    ]
    node = helper.make_node(op_type, list(inputs), ["y"], name=_OP, **attributes)
    graph = helper.make_graph(
        [node],
        "probe",
        [helper.make_tensor_value_info(n, _FLOAT, list(s)) for n, s in zip(names, shapes, strict=True)],
        [helper.make_tensor_value_info("y", _FLOAT, None)],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _write(cells: Sequence[ProbedCell]) -> None:
    path = cache_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [
        {"type": c.type, "precision": c.precision, "quantized": c.quantized, "cost": c.cost, "note": c.note}
        for c in cells
    ]
    with tempfile.NamedTemporaryFile("w", dir=path.parent, suffix=".tmp", delete=False, encoding="utf-8") as file:
        json.dump(rows, file, indent=1)
    Path(file.name).replace(path)


def _machine() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    keep = [line.split(":", 1)[1].strip() for line in lines if line.startswith(("model name", "flags"))][:2]
    return digest_of([platform.machine(), platform.system(), *(keep or [platform.processor()])])
