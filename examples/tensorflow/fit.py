"""Tuning from Python: a Keras model in memory, its data in tf.data.

python -m examples.tensorflow.fit [--litert] [--trials N] [--out FOLDER]
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

import autoq
from examples import fashion_mnist
from examples.pytorch_eager.outcome import tell
from examples.tensorflow.tasks import TASKS
from examples.tensorflow.train import KERAS, trained

_CALIBRATION = 256


def datasets(side: int) -> tuple[Any, Any]:
    """Training pictures for calibration, and the test pictures with their classes: two ``tf.data.Dataset``."""
    training, test = fashion_mnist.read("train"), fashion_mnist.read("t10k")
    calibration = fashion_mnist.channels_last(training.pixels[:_CALIBRATION], side)
    evaluation = fashion_mnist.channels_last(test.pixels, side), test.labels
    return (
        tf.data.Dataset.from_tensor_slices(calibration).batch(32),
        tf.data.Dataset.from_tensor_slices(evaluation).batch(100),
    )


def main(framework: str, trials: int, out: Path) -> None:
    """Tune, say what came out, save the model."""
    task = TASKS["classifier"]
    model = keras.models.load_model(trained("classifier", task) / KERAS)
    calibration, evaluation = datasets(task.side)
    result = autoq.fit(
        model,
        {
            "model": {"name": "classifier", "framework": framework},
            "quantization": {"calibration": {"sampling_size": _CALIBRATION}},
            "evaluation": {
                "accuracy": {"metric": "top1", "held_out": 0.3},
                "performance": {"cores_per_instance": 1, "batch_size": 32},
            },
            "tuning": {
                "accuracy_criterion": {"relative": 0.01},
                "exit_policy": {"max_trials": trials},
                "workspace": "demo",
            },
        },
        calibration,
        eval_dataloader=evaluation,
    )
    tell(result, out)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Tune the example classifier through autoq.fit.")
    parser.add_argument("--litert", action="store_true", help="for LiteRT; for stock TensorFlow by default")
    parser.add_argument("--trials", type=int, default=20, help="trials at most")
    parser.add_argument("--out", type=Path, default=None, help="where to save the model")
    arguments = parser.parse_args()
    chosen = "tensorflow_lite" if arguments.litert else "tensorflow"
    main(chosen, arguments.trials, arguments.out or Path("demo") / f"{chosen}_classifier")
