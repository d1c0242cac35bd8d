"""The error each op makes by itself, with the grids OpenVINO is given, simulated in ONNX Runtime."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from onnx import ModelProto

from autoq.adaptors.onnxrt import local_errors as twins
from autoq.adaptors.onnxrt.model import OnnxModel
from autoq.adaptors.openvino.build import build, moves
from autoq.core.adaptor import RunOptions
from autoq.core.batch import Batch
from autoq.core.plan import Plan
from autoq.core.statistics import Calibration


def local_errors(
    model: OnnxModel, plan: Plan, calibration: Calibration | None, batches: Iterable[Batch], options: RunOptions
) -> Mapping[str, float]:
    """Relative squared error of each quantized op's output when it is fed float inputs; see `onnxrt.local_errors`.

    Raises:
        TrialError: The plan names an unknown op, or statistics are missing.
        DataError: The model fails on the data.
    """
    return twins.local_errors(model, plan, calibration, batches, options, _written, moves, simulated=True)


def _written(model: OnnxModel, plan: Plan, calibration: Calibration | None) -> ModelProto:
    return build(model, plan, calibration).proto
