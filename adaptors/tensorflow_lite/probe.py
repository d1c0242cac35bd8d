"""Does a cell of the capability table really run on integers in LiteRT here, and is it faster?"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autoq.adaptors.probe_record import ProbeRecord
from autoq.adaptors.tensorflow_lite.build import build
from autoq.adaptors.tensorflow_lite.candidate import LiteCandidate
from autoq.adaptors.tensorflow_lite.capabilities import offered
from autoq.adaptors.tensorflow_lite.micro import PROBED, micro_model
from autoq.adaptors.tensorflow_lite.model import LiteModel
from autoq.adaptors.tensorflow_lite.ops import FOLLOWS, LOOKUPS, WORKS
from autoq.adaptors.tensorflow_lite.profile import profile
from autoq.adaptors.tensorflow_lite.ranges import observable
from autoq.adaptors.tensorflow_lite.reading import load
from autoq.adaptors.tensorflow_lite.support import kernel, support
from autoq.core.adaptor import ModelSource, ProbedCell, RunOptions
from autoq.core.batch import Array
from autoq.core.errors import AutoqError
from autoq.core.plan import FP32_PLAN, Plan
from autoq.core.precision import Mode, OpPrecision
from autoq.core.statistics import Calibration, TensorStatistics

_THREADS = RunOptions(threads=1)


@dataclass(frozen=True)
class Prober:
    """Runs micro-models and remembers what it found.

    Attributes:
        version: Of the runtime; results of another one are not used.
    """

    version: str

    def probe(self, progress: Callable[[str], None] = lambda _: None) -> tuple[ProbedCell, ...]:
        """Run every cell of the table on this machine, and remember the result.

        Args:
            progress: Told the cell about to run.
        """
        cells: list[ProbedCell] = []
        for op_type in sorted(WORKS | FOLLOWS | LOOKUPS):
            if op_type not in support().ops:
                continue
            model = load(ModelSource(micro_model(op_type)))
            fp32 = self._profiled(model, FP32_PLAN)
            measured: dict[str, ProbedCell] = {}
            for precision in offered(model.ops_by_id[PROBED], model.graph, support()):
                cell = kernel(precision)
                if cell not in measured:
                    progress(f"{op_type}: {precision.label}")
                    measured[cell] = self._probe_cell(op_type, model, precision, fp32)
                found = measured[cell]
                cells.append(ProbedCell(op_type, precision.label, found.quantized, found.cost, found.note))
        self._record.write(cells)
        return tuple(cells)

    def probed(self) -> tuple[ProbedCell, ...]:
        """What was probed on this machine with this version; empty when nothing was, or when it cannot be read."""
        return self._record.read()

    @property
    def costs(self) -> Mapping[tuple[str, str], float | None]:
        """`probed` by operator and kernel; None for a cell that does not run quantized."""
        found = self._record.costs()
        every = ((name, p) for name, entry in support().ops.items() for p in (*entry.precisions, *entry.inner))
        return {(name, kernel(p)): found[(name, p.label)] for name, p in every if (name, p.label) in found}

    @property
    def cache_file(self) -> Path:
        """Where results for this machine and version are kept."""
        return self._record.file

    @property
    def _record(self) -> ProbeRecord:
        return ProbeRecord("litert", self.version)

    def _probe_cell(self, op_type: str, model: LiteModel, precision: OpPrecision, fp32: float) -> ProbedCell:
        around = next((p for p in support().ops["CONV_2D"].precisions if _goes_with(p, precision)), None)
        plan = Plan({op.id: precision if op.id == PROBED else around for op in model.ops if op.id == PROBED or around})  # type: ignore[misc]
        try:
            seconds = self._profiled(model, plan)
            runs = PROBED in self._candidate(model, plan).realized
        except AutoqError as error:
            return ProbedCell(op_type, precision.label, False, None, error.message)
        if not runs:
            return ProbedCell(op_type, precision.label, False, None, "runs in float")
        return ProbedCell(op_type, precision.label, True, round(seconds / fp32, 3) if fp32 else None, "")

    def _profiled(self, model: LiteModel, plan: Plan) -> float:
        random = np.random.default_rng(0)
        inputs: dict[str, Array] = {}
        for spec in model.inputs:
            shape = [size if isinstance(size, int) else 1 for size in spec.shape or ()]
            normal = random.standard_normal(shape) if spec.dtype == "float32" else random.integers(0, 64, shape)
            inputs[spec.name] = normal.astype(spec.dtype)
        return profile(self._candidate(model, plan), model, inputs, PROBED).seconds[PROBED]

    def _candidate(self, model: LiteModel, plan: Plan) -> LiteCandidate:
        whole = TensorStatistics(-4.0, 4.0, np.ones(16, np.int64), -4.0, 4.0, 16)
        calibration = Calibration(dict.fromkeys(observable(model, model.ops_by_id), whole), 1, "probe")
        return LiteCandidate(build(model, plan, calibration), plan, model.interface, model, _THREADS)


def prober() -> Prober:
    """Probes the installed LiteRT."""
    return Prober(importlib.metadata.version("ai-edge-litert"))


def _goes_with(before: OpPrecision, after: OpPrecision) -> bool:
    """Whether an op in `before` leaves what one in `after` reads."""
    if after.mode is not Mode.STATIC or before.mode is not Mode.STATIC:
        return False
    assert before.activation is not None
    assert after.activation is not None
    return before.activation.dtype is after.activation.dtype
