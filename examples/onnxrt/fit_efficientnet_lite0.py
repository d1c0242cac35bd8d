"""Tuning from Python: EfficientNet-Lite0, at most 5 of 100 top-1 answers changed.

python -m examples.onnxrt.fit_efficientnet_lite0 [--trials N] [--out FOLDER]
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import autoq
from examples.onnxrt import prepare_efficientnet_lite0


@dataclass(frozen=True)
class Batches:
    """Arrays in batches; any iterable that can be walked again would do, a torch DataLoader as well."""

    path: Path
    size: int

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        crops = np.load(self.path)["input"]
        for start in range(0, len(crops), self.size):
            yield crops[start : start + self.size]


def main(trials: int, out: Path) -> None:
    """Tune, say what came out, save the model."""
    folder = prepare_efficientnet_lite0.main()
    conf = {
        "model": {"name": "EfficientNet-Lite0", "framework": "onnxrt_qdq"},
        "quantization": {"calibration": {"sampling_size": 64}},
        "evaluation": {"accuracy": {"metric": "agreement", "held_out": 0.3}},
        "tuning": {
            "accuracy_criterion": {"absolute": 0.05},
            "exit_policy": {"max_trials": trials},
            "workspace": "demo",
        },
    }
    result = autoq.fit(
        folder / "efficientnet_lite0.onnx",
        conf,
        Batches(folder / "calibration.npz", 8),
        eval_dataloader=Batches(folder / "tune.npz", 1),
    )
    best = result.best
    if best is not None and best.speed is not None:
        score = best.scores[0]
        print(f"accepted: {score.metric} {score.value:.3f}, loss {score.loss.value:.3f} of {score.limit:.3f} allowed,")
        print(f"latency {best.speed:.2f} of fp32, {len(result.trials)} trials")
    else:
        print(f"fp32 stays: none of {len(result.trials)} trials was both accurate enough and faster")
    print(f"saved to {result.save(out)}; report: {result.report()}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Tune EfficientNet-Lite0 through autoq.fit.")
    parser.add_argument("--trials", type=int, default=40, help="trials at most")
    parser.add_argument("--out", type=Path, default=Path("demo/fit_efficientnet_lite0"), help="where to save the model")
    arguments = parser.parse_args()
    main(arguments.trials, arguments.out)
