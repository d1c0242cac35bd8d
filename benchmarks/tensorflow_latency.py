"""TensorFlow and LiteRT, latency relative to fp32: all int8 and the accepted plan, beside INC's TensorFlow package.

``python -m benchmarks.tensorflow_latency`` measures ResNet18 and MobileNetV2 on one thread at batch 1 and 8, at the
112 pixels they were trained for and with the same weights at 224; on one core (``taskset -c 1``), since what
``tf.saved_model.load`` gives takes all there are. Everything of one network runs in one process,
interleaved: what autoq made by `tensorflow`, relative to stock TensorFlow's fp32, and the graph that INC 3.10 made of
the same SavedModel, run by the same TensorFlow; and what autoq made by `tensorflow_lite`, relative to LiteRT's fp32.
The accepted plan is the one of `benchmarks.tensorflow_accuracy`, at 112 pixels. ``resnet18@112`` does one network.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from autoq.adaptors.tensorflow.runtime import tf
from autoq.core.adaptor import Candidate
from autoq.core.plan import FP32_PLAN, Plan
from autoq.evaluation.latency import interleave
from benchmarks.common import Cell, kept_rows, print_table, write_results
from benchmarks.peers.problem import PeerError
from benchmarks.support.inc_tensorflow import Runner, quantize
from benchmarks.support.tensorflow_models import (
    FRAMEWORKS,
    MODELS,
    Bench,
    accepted_plan,
    bench_of,
    pictures,
    saved_model,
)

NAME = "tensorflow_latency"
SIDES = (112, 224)
BATCHES = (1, 8)
_TRAINED = 112
_INC = "INC 3.10"
_LOADED = "fp32 as loaded"
_LITERT = {"tensorflow": "", "tensorflow_lite": "LiteRT "}

Runs = Mapping[str, Callable[[], object]]


def plans(bench: Bench, model: str) -> Mapping[str, Plan]:
    """fp32, all int8 and, at the trained size, the plan that tuning accepted."""
    found = {"fp32": FP32_PLAN, "all int8": bench.all_int8}
    accepted = accepted_plan(model, bench.framework) if bench.side == _TRAINED else None
    return found if accepted is None else {**found, "accepted": accepted}


def measure(model: str, side: int, seconds: float) -> list[dict[str, Cell]]:
    """All rows of one network at one size."""
    images = pictures(side, max(BATCHES))
    rows: list[dict[str, Cell]] = []
    with tempfile.TemporaryDirectory() as scratch:
        path = saved_model(model, side, Path(scratch))
        candidates: dict[str, dict[str, Candidate]] = {}
        for framework in FRAMEWORKS:
            bench = bench_of(model, framework, side, path)
            candidates[framework] = {name: bench.apply(plan) for name, plan in plans(bench, model).items()}
        loaded = tf.saved_model.load(str(path)).signatures["serving_default"]
        inc = inc_runner(path, side, Path(scratch) / "inc")
        for batch in BATCHES:
            inputs = images[:batch]
            outputs = {
                framework: {name: scores(c, inputs) for name, c in found.items()}
                for framework, found in candidates.items()
            }
            stock = calls(candidates["tensorflow"], inputs)
            errors = {
                name: error(found, outputs["tensorflow"]["fp32"]) for name, found in outputs["tensorflow"].items()
            }
            if inc is not None:
                stock[_INC] = partial(inc.run, inputs)
                errors[_INC] = error(inc.run(inputs), outputs["tensorflow"]["fp32"])
            stock[_LOADED] = partial(loaded, tf.constant(inputs))
            lite = calls(candidates["tensorflow_lite"], inputs)
            lite_errors = {
                n: error(f, outputs["tensorflow_lite"]["fp32"]) for n, f in outputs["tensorflow_lite"].items()
            }
            about: dict[str, Cell] = {"model": model, "pixels": side, "batch": batch}
            rows += timed({**about, "runtime": "TensorFlow"}, {**stock, "LiteRT fp32": lite["fp32"]}, errors, seconds)
            rows += timed({**about, "runtime": "LiteRT"}, lite, lite_errors, seconds)
    return rows


def timed(about: Mapping[str, Cell], runs: Runs, errors: Mapping[str, float], seconds: float) -> list[dict[str, Cell]]:
    """One row per run but the reference's own, relative to ``fp32``."""
    found = interleave(
        runs, "fp32", warmup=3, rounds=400, least_rounds=10, seconds=seconds, precision=0.01, confidence=0.95, seed=0
    )
    return [
        {
            **about,
            "what": name,
            "× fp32": 1 / latency.ratio.value,
            "low": 1 / latency.ratio.high,
            "high": 1 / latency.ratio.low,
            "ms": 1000 * latency.seconds,
            "output error": errors.get(name),
        }
        for name, latency in found.items()
    ]


def calls(candidates: Mapping[str, Candidate], images: Any) -> dict[str, Callable[[], object]]:
    """One inference of each."""
    return {name: partial(candidate.predict, {"image": images}) for name, candidate in candidates.items()}


def scores(candidate: Candidate, images: Any) -> Any:
    """Raw scores of a batch."""
    return next(iter(candidate.predict({"image": images}).values()))


def error(found: Any, reference: Any) -> float:
    """``‖found − fp32‖ / ‖fp32‖``."""
    return float(np.linalg.norm(found - reference) / np.linalg.norm(reference))


def inc_runner(path: Path, side: int, folder: Path) -> Runner | None:
    """What INC made of the SavedModel; None, with the reason printed, where it cannot run."""
    try:
        return Runner(quantize(path, pictures(side, 128), folder))
    except PeerError as problem:
        print(f"{_INC} is left out: {problem}")
        return None


def main() -> None:
    """Measure the named ``model@pixels``, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    everything = [f"{m}@{s}" for m in MODELS for s in SIDES]
    parser.add_argument("names", nargs="*", metavar="MODEL@PIXELS", help=f"of {', '.join(everything)}")
    parser.add_argument("--seconds", type=float, default=20.0, help="seconds per group of measurements")
    arguments = parser.parse_args()
    names = arguments.names or everything
    rows: list[dict[str, Cell]] = []
    for name in names:
        model, _, side = name.partition("@")
        rows += measure(model, int(side), arguments.seconds)
        print_table("Times as fast as fp32, one thread", rows)
    kept = kept_rows(NAME, lambda r: f"{r['model']}@{r['pixels']}" not in names)
    print(f"\n{write_results(NAME, [*kept, *rows], threads=1)}")


if __name__ == "__main__":
    main()
