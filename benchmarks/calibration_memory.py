"""Peak memory of calibrating a text detector with histograms, against plain inference and ONNX Runtime's own.

    python -m benchmarks.calibration_memory [--model det.onnx --data calibration.npz]

Each line runs in a process of its own and reports that process's peak. Images are magnified to `--side`
pixels one by one, so that inputs take no memory of their own; ONNX Runtime's calibrator is limited to 8.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import onnxruntime as ort

from autoq.core.batch import Array, Batch
from benchmarks.common import prepared, print_table, write_results

LIMIT_MB = 500.0


def images(data: Path, side: int, count: int) -> Iterator[Array]:
    with np.load(data) as arrays:
        small = arrays[arrays.files[0]]
    factor = max(1, side // small.shape[-1])
    for index in range(count):
        image = small[index % len(small)][None]
        yield np.ascontiguousarray(image.repeat(factor, axis=2).repeat(factor, axis=3), dtype=np.float32)


def plain(model: Path, source: Iterator[Array], threads: int) -> None:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    for image in source:
        session.run(None, {name: image})


def ours(model: Path, source: Iterator[Array], threads: int) -> None:
    from autoq.adaptors.onnxrt import calibrator
    from autoq.core.adaptor import ModelSource
    from autoq.core.registry import make_adaptor

    adaptor = make_adaptor("onnxrt_qdq")
    loaded = adaptor.load(ModelSource(model))
    needs = adaptor.needs(loaded, adaptor.capabilities(loaded))
    assert needs.histogram
    name = loaded.inputs[0].name

    def feed(batch: Batch) -> Mapping[str, Array]:
        return {name: np.asarray(batch.inputs)}

    calibrator.collect(loaded, (Batch(image, None, 1) for image in source), needs, feed, threads=threads)


def library(model: Path, source: Iterator[Array], _threads: int) -> None:
    from onnxruntime.quantization.calibrate import CalibrationDataReader, CalibrationMethod, create_calibrator

    name = ort.InferenceSession(model, providers=["CPUExecutionProvider"]).get_inputs()[0].name

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def get_next(self) -> dict[str, Array] | None:
            image = next(source, None)
            return None if image is None else {name: image}

    with tempfile.TemporaryDirectory() as folder:
        calibrator = create_calibrator(
            model, None, str(Path(folder) / "augmented.onnx"), calibrate_method=CalibrationMethod.Percentile
        )
        calibrator.collect_data(Reader())
        calibrator.compute_data()


RUNS: Mapping[str, Callable[[Path, Iterator[Array], int], None]] = {
    "inference": plain,
    "autoq": ours,
    "onnxruntime.quantization": library,
}


def child(options: argparse.Namespace) -> None:
    source = images(options.data, options.side, options.images)
    started = time.perf_counter()
    RUNS[options.child](options.model, source, options.threads)
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"peak_mb": peak, "seconds": seconds}))


def measure(options: argparse.Namespace, run: str, count: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.calibration_memory", "--child", run, "--images", str(count)]
    for key in ("model", "data", "side", "threads"):
        command += [f"--{key}", str(getattr(options, key))]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    answer: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return answer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="an ONNX detector; PP-OCR's by default")
    parser.add_argument("--data", type=Path, help="an npz whose first array holds images [n, c, h, w]")
    parser.add_argument("--side", type=int, default=960)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--child", choices=list(RUNS), help=argparse.SUPPRESS)
    parser.add_argument("--images", type=int, default=8, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.model is None or options.data is None:
        folder = prepared("ppocr-det")
        options.model = options.model or folder / "ppocr_det.onnx"
        options.data = options.data or folder / "calibration.npz"
    if options.child:
        child(options)
        return
    rows: list[dict[str, str | int | float | bool | None]] = []
    base: dict[int, float] = {}
    for run, count in [("inference", 8), ("inference", 64), ("autoq", 8), ("autoq", 64), (list(RUNS)[2], 8)]:
        found = measure(options, run, count)
        base.setdefault(count, found["peak_mb"])
        above = found["peak_mb"] - base[count]
        rows.append(
            {
                "run": run,
                "images": count,
                "peak MB": round(found["peak_mb"], 1),
                "above inference MB": round(above, 1),
                "seconds per image": round(found["seconds"] / count, 3),
            }
        )
    print_table(f"{options.model.name}, {options.side} x {options.side}, {options.threads} thread(s)", rows)
    worst = max(float(row["above inference MB"] or 0.0) for row in rows if row["run"] == "autoq")
    verdict = "met" if worst <= LIMIT_MB else "MISSED"
    print(f"\nlimit: {LIMIT_MB:.0f} MB above inference; autoq's worst: {worst:.0f} MB: {verdict}")
    print(write_results("calibration_memory", rows, options.threads))


if __name__ == "__main__":
    main()
