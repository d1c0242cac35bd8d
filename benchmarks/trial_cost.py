"""What one trial costs beyond its evaluation: build and session from cached statistics, against from scratch.

``python -m benchmarks.trial_cost``: EfficientNet-Lite0, plans as a search asks for them, next to
``onnxruntime.quantization.quantize_static`` with the same 64 calibration samples and a session on its model.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from autoq.config.loader import load_job
from autoq.config.rules import space
from autoq.core.plan import FP32_PLAN, LatencyEffort, Plan
from autoq.core.task import Calibrate, Evaluate, Evaluated, Split
from autoq.tuning.assemble import workbench_of
from benchmarks.common import Cell, prepared, print_table, write_results


def plans(job_space: Any) -> Iterator[Plan]:
    """The fully quantized plan, prefixes in float, and single ops in float."""
    units = job_space.units
    yield job_space.full_plan()
    for count in (5, 10, 20, 30):
        yield job_space.plan({u.id: u.float_index or 0 for u in units[:count]})
    for unit in units[::12]:
        yield job_space.plan({unit.id: unit.float_index or 0})


class _Reader:
    """Calibration samples one by one, as the library's quantizer reads them."""

    def __init__(self, array: np.ndarray, name: str) -> None:
        self._samples = ({name: array[i : i + 1]} for i in range(len(array)))

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._samples, None)


def from_scratch(folder: Path, model: str) -> float:
    """Seconds of ``quantize_static`` and a session on its model."""
    import onnxruntime
    from onnxruntime.quantization import QuantType, quantize_static

    with np.load(folder / "calibration.npz") as archive:
        array = archive[archive.files[0]]
    name = onnxruntime.InferenceSession(str(folder / model), providers=["CPUExecutionProvider"]).get_inputs()[0].name
    with tempfile.TemporaryDirectory() as scratch:
        target = Path(scratch) / "quantized.onnx"
        started = time.perf_counter()
        quantize_static(
            str(folder / model),
            str(target),
            _Reader(array[:64], name),
            per_channel=True,
            weight_type=QuantType.QInt8,
            activation_type=QuantType.QUInt8,
        )
        onnxruntime.InferenceSession(str(target), providers=["CPUExecutionProvider"])
        return time.perf_counter() - started


def main() -> None:
    """Measure and print."""
    folder = prepared("efficientnet-lite0")
    job = load_job(folder / "job.yaml")
    with tempfile.TemporaryDirectory() as workspace:
        tuning = job.tuning.model_copy(update={"workspace": workspace})
        bench = workbench_of(job.model_copy(update={"tuning": tuning}))
        description = bench.describe()
        calibrated: Any = bench.handle(Calibrate(), lambda _: None)
        base: Any = bench.handle(Evaluate(FP32_PLAN, Split.TUNE, 0, 300), lambda _: None)
        builds = []
        for plan in plans(space(job, description.table)):
            answer = bench.handle(Evaluate(plan, Split.TUNE, 0, 0, LatencyEffort.NONE), lambda _: None)
            assert isinstance(answer, Evaluated), answer
            builds.append(answer.seconds["build"])
        full = space(job, description.table).full_plan()
        int8: Any = bench.handle(Evaluate(full, Split.TUNE, 0, 300), lambda _: None)
        bench.close()
    scratch = from_scratch(folder, job.model.path or "")
    evaluation = base.seconds["evaluate"]
    rows: list[dict[str, Cell]] = [
        {"what": "build + session, first plan (s)", "value": builds[0]},
        {"what": "build + session, median of later plans (s)", "value": statistics.median(builds[1:])},
        {"what": "build + session, slowest later plan (s)", "value": max(builds[1:])},
        {"what": "quantize_static + session from scratch (s)", "value": scratch},
        {"what": "from scratch / median trial", "value": scratch / statistics.median(builds[1:])},
        {"what": "one 300-crop evaluation, fp32 (s)", "value": evaluation},
        {"what": "one 300-crop evaluation, int8 (s)", "value": int8.seconds["evaluate"]},
        {"what": "median trial / fp32 evaluation", "value": statistics.median(builds[1:]) / evaluation},
        {"what": "median trial / int8 evaluation", "value": statistics.median(builds[1:]) / int8.seconds["evaluate"]},
        {"what": "calibration, 64 samples, once (s)", "value": calibrated.seconds},
    ]
    print_table("Cost of a trial, EfficientNet-Lite0", rows)
    print(f"\n{write_results('trial_cost', rows, threads=1)}")


if __name__ == "__main__":
    main()
