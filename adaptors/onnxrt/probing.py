"""Does a cell of a capability table really run quantized here, and is it faster? One micro-model per cell."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

from autoq.adaptors.capability_file import Costs, Support
from autoq.adaptors.onnxrt.model import OnnxModel, load
from autoq.adaptors.probe_record import ProbeRecord
from autoq.core.adaptor import Candidate, ModelSource, OpCosts, ProbedCell
from autoq.core.batch import Inputs
from autoq.core.errors import AutoqError
from autoq.core.plan import FP32_PLAN, Plan
from autoq.core.precision import OpPrecision
from autoq.core.statistics import Calibration, TensorStatistics

_OP = "probed"
_FLOAT = TensorProto.FLOAT


class Runtime(Protocol):
    """What a runtime has to do so that its capability table can be probed."""

    def observable(self, model: OnnxModel) -> Sequence[str]:
        """Tensors whose statistics a plan may ask for."""

    def candidate(self, model: OnnxModel, plan: Plan, calibration: Calibration | None) -> Candidate:
        """A model built from a plan, even from the empty one, for one thread."""

    def profile(self, candidate: Candidate, inputs: Inputs) -> OpCosts:
        """Seconds per op of one batch."""


@dataclass(frozen=True)
class Prober:
    """Probes the table of one runtime, and remembers what it found.

    Attributes:
        support: The table.
        version: Version of the runtime.
        runtime: The runtime.
        skipped: Types that the runtime quantizes only beside other ops: alone they would tell nothing.
    """

    support: Support
    version: str
    runtime: Runtime
    skipped: frozenset[str] = frozenset()

    def probe(self, progress: Callable[[str], None]) -> tuple[ProbedCell, ...]:
        """Run every cell of the capability table on this machine, and remember the result.

        Args:
            progress: Told the cell that is about to run.
        """
        cells = []
        for label, entry in self.support.ops.items():
            if label in self.skipped:
                continue
            model = load(ModelSource(_micro_model(label)), self.support.ops)
            fp32 = self._profiled(model, self.runtime.candidate(model, FP32_PLAN, None))
            measured: dict[str, ProbedCell] = {}
            for cell in entry.cells:
                # How ranges were chosen does not change the kernel.
                kernel = _kernel(cell.precision)
                if kernel not in measured:
                    progress(f"{label}: {cell.precision.label}")
                    measured[kernel] = self._probe_cell(label, model, cell.precision, fp32)
                found = measured[kernel]
                cells.append(ProbedCell(label, cell.precision.label, found.quantized, found.cost, found.note))
        self._record.write(cells)
        return tuple(cells)

    def probed(self) -> tuple[ProbedCell, ...]:
        """What was probed on this machine with this version; empty when nothing was, or when it cannot be read."""
        return self._record.read()

    @property
    def costs(self) -> Costs:
        """`probed` by op label and precision; None for a cell that does not run quantized."""
        return self._record.costs()

    @property
    def cache_file(self) -> Path:
        """Where results for this machine and version are kept."""
        return self._record.file

    @property
    def _record(self) -> ProbeRecord:
        return ProbeRecord(self.support.package, self.version)

    def _probe_cell(self, label: str, model: OnnxModel, precision: OpPrecision, fp32: float) -> ProbedCell:
        try:
            candidate = self.runtime.candidate(model, Plan({_OP: precision}), self._statistics(model))
            with_kernel = _OP in candidate.realized
            seconds = self._profiled(model, candidate)
        except AutoqError as error:
            return ProbedCell(label, precision.label, False, None, error.message)
        if not with_kernel:
            return ProbedCell(label, precision.label, False, None, "runs in float")
        return ProbedCell(label, precision.label, True, round(seconds / fp32, 3) if fp32 else None, "")

    def _profiled(self, model: OnnxModel, candidate: Candidate) -> float:
        random = np.random.default_rng(0)
        shapes = {spec.name: [s if isinstance(s, int) else 1 for s in spec.shape or ()] for spec in model.inputs}
        inputs = {name: random.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
        candidate.predict(inputs)
        return self.runtime.profile(candidate, inputs).seconds.get(_OP, 0.0)

    def _statistics(self, model: OnnxModel) -> Calibration:
        whole = TensorStatistics(-4.0, 4.0, np.ones(16, np.int64), -4.0, 4.0, 16)
        return Calibration(dict.fromkeys(self.runtime.observable(model), whole), 1, "probe")


def _kernel(precision: OpPrecision) -> str:
    activation = precision.activation.dtype if precision.activation else ""
    return f"{precision.mode} {precision.weight.granularity if precision.weight else ''} {activation}"


def _micro_model(label: str) -> ModelProto:
    """One op of a size at which its kernel, not its call, is what takes the time."""
    image, rows = [1, 64, 28, 28], [1, 64, 256]
    match label:
        case "Conv":
            return _model([image], ["x", "w"], "Conv", {"w": [64, 64, 3, 3]}, pads=[1, 1, 1, 1])
        case "ConvTranspose":
            return _model([image], ["x", "w"], label, {"w": [64, 64, 2, 2]}, strides=[2, 2])
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
