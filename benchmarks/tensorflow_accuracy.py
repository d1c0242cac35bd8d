"""TensorFlow and LiteRT, accuracy before and after: ResNet18 and MobileNetV2 on 10,000 test images of 112 × 112 pixels.

``python -m benchmarks.tensorflow_accuracy`` tunes the networks by each adaptor with at most .3 points of loss on the
whole test set, and scores the fully quantized network beside the accepted plan. The output error of the fully
quantized network is ``‖int8 − fp32‖ / ‖fp32‖`` of the scores of 1,000 test images, fp32 being the same framework's;
its ranges are chosen by the minmax and by the mse observer.
``python -m benchmarks.tensorflow_accuracy resnet18@tensorflow`` does one and keeps the other rows.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoq.core.adaptor import Candidate
from autoq.core.plan import FP32_PLAN
from autoq.core.precision import Observer
from benchmarks.common import Cell, kept_rows, print_table, write_results
from benchmarks.support.tensorflow_models import FRAMEWORKS, LIMIT, MODELS, Bench, saved_model, tune
from examples import fashion_mnist
from examples.assets import cache_root
from examples.tensorflow.tasks import TASKS

NAME = "tensorflow_accuracy"
_ERROR_IMAGES, _BATCH = 1000, 50


def scores(candidate: Candidate, images: NDArray[np.float32]) -> NDArray[Any]:
    """Raw scores ``[n, 10]``, batch by batch."""
    found = []
    for start in range(0, len(images), _BATCH):
        outputs = candidate.predict({"image": images[start : start + _BATCH]})
        found.append(next(iter(outputs.values())))
    return np.concatenate(found)


def relative_error(found: NDArray[Any], reference: NDArray[np.float64]) -> float:
    """``‖found − fp32‖ / ‖fp32‖``."""
    return float(np.linalg.norm(found - reference) / np.linalg.norm(reference))


def row(model: str, framework: str) -> dict[str, Cell]:
    """Tune, score the fully quantized network, and what came of it."""
    started = time.monotonic()
    outcome = tune(model, framework)
    seconds = time.monotonic() - started
    best = outcome.best
    side = TASKS[model].side
    bench = Bench(framework, saved_model(model, side, cache_root()), side)
    test = fashion_mnist.read("t10k")
    images = fashion_mnist.channels_last(test.pixels, side)
    reference = scores(bench.apply(FP32_PLAN), images[:_ERROR_IMAGES]).astype(np.float64)
    quantized = bench.apply(bench.observed_by(Observer.MINMAX))
    found = scores(quantized, images)
    mse = scores(bench.apply(bench.observed_by(Observer.MSE)), images[:_ERROR_IMAGES])
    realized = quantized.realized.precisions.values()
    return {
        "model": model,
        "framework": framework,
        "fp32": 100 * outcome.baseline.scores[0].value,
        "all int8": 100 * float((found.argmax(1) == test.labels).mean()),
        "output error, minmax": relative_error(found[:_ERROR_IMAGES], reference),
        "output error, mse": relative_error(mse, reference),
        "ops in 8 bits": f"{sum(not p.is_float for p in realized)}/{len(bench.table)}",
        "accepted": outcome.accepted,
        "accepted plan": 100 * best.scores[0].value if best is not None else None,
        "limit": 100 * LIMIT,
        "its int8 ops": sum(not p.is_float for p in best.plan.precisions.values()) if best is not None else None,
        "its latency / fp32": best.latency.ratio.value if best is not None and best.latency is not None else None,
        "trials": len(outcome.trials) - 1,
        "seconds": seconds,
    }


def main() -> None:
    """Run the named ``model@framework``, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    everything = [f"{m}@{f}" for m in MODELS for f in FRAMEWORKS]
    parser.add_argument("names", nargs="*", metavar="MODEL@FRAMEWORK", help=f"of {', '.join(everything)}")
    names = parser.parse_args().names or everything
    rows: list[dict[str, Cell]] = []
    for name in names:
        model, _, framework = name.partition("@")
        rows.append(row(model, framework))
        print_table("Fashion-MNIST at 112 × 112 pixels, top-1 % on 10,000 test images", rows)
    kept = kept_rows(NAME, lambda r: f"{r['model']}@{r['framework']}" not in names)
    print(f"\n{write_results(NAME, [*kept, *rows], threads=1)}")


if __name__ == "__main__":
    main()
