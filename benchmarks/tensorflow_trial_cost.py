"""TensorFlow and LiteRT: what a trial costs from statistics collected once, against quantizing from scratch.

``python -m benchmarks.tensorflow_trial_cost``: ResNet18 and MobileNetV2 at 112 pixels, 128 calibration pictures, one
thread; the fully quantized plan and plans with every eighth op, from the first on, in float. A trial is emitting the
graph or file, loading it and its first run. From scratch is what other tools need for every plan: for TensorFlow the
quantization by INC 3.10 (``quantize_model``), for LiteRT a ``TFLiteConverter`` with a representative dataset.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoq.adaptors.tensorflow.runtime import silent_stderr, tf
from autoq.core.capability import CapabilityTable
from autoq.core.plan import Plan
from autoq.core.precision import FP32
from benchmarks.common import Cell, kept_rows, print_table, write_results
from benchmarks.support.inc_tensorflow import quantize
from benchmarks.support.tensorflow_models import FRAMEWORKS, MODELS, Bench, pictures, saved_model
from examples.assets import cache_root
from examples.tensorflow.tasks import TASKS

NAME = "tensorflow_trial_cost"
_PICTURES = 128


def plans(full: Plan, table: CapabilityTable) -> Iterator[Plan]:
    """Fully quantized, and with single ops in float."""
    yield full
    for op in table.ops[:: max(len(table) // 8, 1)]:
        yield full.with_precisions({op.id: FP32})


def converted_from_scratch(path: Path, images: NDArray[np.float32]) -> float:
    """Seconds of TensorFlow's own conversion to int8, calibration included."""

    def dataset() -> Iterator[list[NDArray[np.float32]]]:
        for start in range(len(images)):
            yield [images[start : start + 1]]

    started = time.perf_counter()
    converter = tf.lite.TFLiteConverter.from_saved_model(str(path))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = dataset
    with silent_stderr():
        converter.convert()
    return time.perf_counter() - started


def row(model: str, framework: str) -> dict[str, Cell]:
    """One network by one adaptor."""
    side = TASKS[model].side
    path, images = saved_model(model, side, cache_root()), pictures(side, _PICTURES)
    bench = Bench(framework, path, side)
    started = time.perf_counter()
    table: Any = bench.table
    loaded = time.perf_counter() - started
    started = time.perf_counter()
    calibration = bench.calibration
    calibrated = time.perf_counter() - started
    trials = []
    for plan in plans(bench.all_int8, table):
        started = time.perf_counter()
        candidate = bench.apply(plan)
        candidate.predict({"image": images[:1]})
        trials.append(time.perf_counter() - started)
        candidate.close()
    if framework == "tensorflow":
        with tempfile.TemporaryDirectory() as scratch:
            whole = quantize(path, images, Path(scratch)).seconds
    else:
        whole = converted_from_scratch(path, images)
    return {
        "model": model,
        "framework": framework,
        "plans": len(trials),
        "load (s)": loaded,
        "calibration samples": calibration.samples,
        "calibrate once (s)": calibrated,
        "first trial (s)": trials[0],
        "trial, median (s)": statistics.median(trials),
        "largest (s)": max(trials),
        "from scratch (s)": whole,
        "trial / scratch, median": statistics.median(trials) / whole,
    }


def main() -> None:
    """Measure the named ``model@framework``, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    everything = [f"{m}@{f}" for m in MODELS for f in FRAMEWORKS]
    parser.add_argument("names", nargs="*", metavar="MODEL@FRAMEWORK", help=f"of {', '.join(everything)}")
    names = parser.parse_args().names or everything
    rows: list[dict[str, Cell]] = []
    for name in names:
        model, _, framework = name.partition("@")
        rows.append(row(model, framework))
        print_table("Cost of a TensorFlow or LiteRT trial", rows)
    kept = kept_rows(NAME, lambda r: f"{r['model']}@{r['framework']}" not in names)
    print(f"\n{write_results(NAME, [*kept, *rows], threads=1)}")


if __name__ == "__main__":
    main()
