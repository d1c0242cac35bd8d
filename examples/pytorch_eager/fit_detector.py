"""A detector from Python: six outputs, decoded to boxes by the user's own function, mean average precision.

python -m examples.pytorch_eager.fit_detector [--trials N] [--out FOLDER]
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

import autoq
from examples.pytorch import scenes
from examples.pytorch.tasks import TASKS
from examples.pytorch.train import trained
from examples.pytorch_eager.outcome import tell


@dataclass(frozen=True)
class Labelled:
    """Scenes with the boxes of what is in them; an iterable that can be walked again."""

    split: str

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        yield from scenes.labelled(self.split, batch_size=20)


def main(trials: int, out: Path) -> None:
    """Tune, say what came out, save the model."""
    task = TASKS["detector"]
    model = task.model()
    model.load_state_dict(load_file(trained("detector", task) / "weights.safetensors"))
    result = autoq.fit(
        model.eval(),
        {
            "model": {"name": "detector", "framework": "pytorch_eager"},
            "quantization": {"calibration": {"sampling_size": 128}},
            "evaluation": {
                "accuracy": {
                    "metric": "map",
                    "postprocess": [
                        "examples.pytorch.detection:decode",
                        {"name": "boxes", "arguments": {"boxes": "boxes", "scores": "scores"}},
                    ],
                    "held_out": 0.3,
                },
                "performance": {"cores_per_instance": 1, "batch_size": 1},
            },
            "tuning": {
                "accuracy_criterion": {"relative": 0.01},
                "exit_policy": {"max_trials": trials},
                "workspace": "demo",
            },
        },
        Labelled("calibration"),
        eval_dataloader=Labelled("test"),
    )
    tell(result, out)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Tune the detector through autoq.fit.")
    parser.add_argument("--trials", type=int, default=20, help="trials at most")
    parser.add_argument("--out", type=Path, default=Path("demo/eager_detector"), help="where to save the model")
    arguments = parser.parse_args()
    main(arguments.trials, arguments.out)
