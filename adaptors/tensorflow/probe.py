"""Does a cell of the capability table really run quantized here, and is it faster? One micro-model per op type."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from autoq.adaptors.capability_file import Costs
from autoq.adaptors.probe_record import ProbeRecord
from autoq.adaptors.tensorflow import verify
from autoq.adaptors.tensorflow.build import build, observable
from autoq.adaptors.tensorflow.candidate import Source, TensorFlowCandidate
from autoq.adaptors.tensorflow.capabilities import support
from autoq.adaptors.tensorflow.frozen import Frozen
from autoq.adaptors.tensorflow.fusion import find_ops
from autoq.adaptors.tensorflow.graph import Graph
from autoq.adaptors.tensorflow.model import TensorFlowModel
from autoq.adaptors.tensorflow.profile import profile
from autoq.adaptors.tensorflow.runtime import tf
from autoq.core.adaptor import ProbedCell, RunOptions
from autoq.core.batch import TensorSpec
from autoq.core.errors import AutoqError
from autoq.core.plan import FP32_PLAN, Plan
from autoq.core.precision import OpPrecision
from autoq.core.statistics import Calibration, TensorStatistics

_OP = "probed"
_THREADS = RunOptions(threads=1)
_IMAGE, _ROWS = (1, 56, 56, 64), (64, 256)


class Prober:
    """Probes the table of this version of TensorFlow, and remembers what it found."""

    def probe(self, progress: Callable[[str], None]) -> tuple[ProbedCell, ...]:
        """Run every cell of the capability table on this machine, and remember the result.

        Args:
            progress: Told the kernel or cell that is about to run.
        """
        verify.refused(progress)
        cells: list[ProbedCell] = []
        for op_type, entry in support().ops.items():
            if not entry.cells:
                continue
            model = _micro_model(op_type)
            fp32 = _seconds(model, FP32_PLAN)
            measured: dict[object, ProbedCell] = {}
            for cell in entry.cells:
                # How ranges were chosen does not change the kernel.
                kernel = cell.precision.weight
                if kernel not in measured:
                    progress(f"{op_type}: {cell.precision.label}")
                    measured[kernel] = _probe(op_type, model, cell.precision, fp32)
                found = measured[kernel]
                cells.append(ProbedCell(op_type, cell.precision.label, found.quantized, found.cost, found.note))
        self._record.write(cells)
        return tuple(cells)

    def probed(self) -> tuple[ProbedCell, ...]:
        """What was probed on this machine with this version; empty when nothing was, or when it cannot be read."""
        return self._record.read()

    @property
    def costs(self) -> Costs:
        """`probed` by op type and precision; None for a cell that does not run quantized."""
        return self._record.costs()

    @property
    def cache_file(self) -> Path:
        """Where results for this machine and version are kept."""
        return self._record.file

    @property
    def _record(self) -> ProbeRecord:
        return ProbeRecord("tensorflow", tf.__version__)


def prober() -> Prober:
    """Probes this version of TensorFlow."""
    return Prober()


def _probe(op_type: str, model: TensorFlowModel, precision: OpPrecision, fp32: float) -> ProbedCell:
    try:
        seconds = _seconds(model, Plan({_OP: precision}))
    except AutoqError as error:
        return ProbedCell(op_type, precision.label, False, None, error.message)
    if seconds == 0.0:
        return ProbedCell(op_type, precision.label, False, None, "runs in float")
    return ProbedCell(op_type, precision.label, True, round(seconds / fp32, 3) if fp32 else None)


def _seconds(model: TensorFlowModel, plan: Plan) -> float:
    """Seconds of the op alone; 0 where it does not run as the plan says."""
    # As behind a ReLU, where most 8-bit tensors lie.
    whole = TensorStatistics(0.0, 4.0, np.ones(16, np.int64), 0.0, 4.0, 16)
    calibration = Calibration(dict.fromkeys(observable(model.fusion, model.fusion.ops), whole), 1, "probe")
    proto = build(model, plan, calibration)
    candidate = TensorFlowCandidate(Source(proto, model.frozen, proto.ByteSize()), plan, model.fusion, _THREADS)
    try:
        if candidate.realized != plan:
            return 0.0
        shape = model.inputs[0].shape
        assert shape is not None
        values = np.random.default_rng(0).uniform(0, 4, [int(size or 1) for size in shape]).astype(np.float32)
        return float(profile(candidate, model.fusion, {"x": values}).seconds.get(_OP, 0.0))
    finally:
        candidate.close()


def _micro_model(op_type: str) -> TensorFlowModel:
    graph = tf.Graph()
    shape = _ROWS if op_type == "MatMul" else _IMAGE
    with graph.as_default():
        x = tf.compat.v1.placeholder(tf.float32, shape, name="x")
        y = _OPS[op_type](x)
        tf.identity(y, name="y")
    proto = graph.as_graph_def()
    spec = TensorSpec("x", "float32", shape)
    result = TensorSpec("y", "float32", tuple(y.shape.as_list()))
    frozen = Frozen(proto, (spec,), (result,), ("x:0",), ("y:0",), "serving_default", f"probe of {op_type}")
    return TensorFlowModel(frozen, find_ops(Graph(proto, ("x:0",), ("y:0",))), op_type, proto.ByteSize())


def _weight(*shape: int) -> Any:
    return tf.constant(np.random.default_rng(0).standard_normal(shape).astype(np.float32))


_POOL = {"ksize": [1, 2, 2, 1], "strides": [1, 2, 2, 1], "padding": "VALID", "name": _OP}
_CONV = {"strides": [1, 1, 1, 1], "padding": "SAME", "name": _OP}

_OPS: Mapping[str, Callable[[Any], Any]] = {
    "Conv2D": lambda x: tf.raw_ops.Conv2D(input=x, filter=_weight(3, 3, 64, 64), **_CONV),
    "DepthwiseConv2dNative": lambda x: tf.raw_ops.DepthwiseConv2dNative(input=x, filter=_weight(3, 3, 64, 1), **_CONV),
    "MatMul": lambda x: tf.raw_ops.MatMul(a=x, b=_weight(256, 512), name=_OP),
    "MaxPool": lambda x: tf.raw_ops.MaxPool(input=x, **_POOL),
    "AvgPool": lambda x: tf.raw_ops.AvgPool(value=x, **_POOL),
    "Mean": lambda x: tf.raw_ops.Mean(input=x, axis=[1, 2], name=_OP),
}
