"""A classifier from Python: a trained module in memory, data in a torch DataLoader.

python -m examples.pytorch_eager.fit_resnet18 [--trials N] [--out FOLDER]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch.utils.data import DataLoader, TensorDataset

import autoq
from examples.pytorch import fashion_mnist
from examples.pytorch.tasks import TASKS
from examples.pytorch.train import trained
from examples.pytorch_eager.outcome import tell


def main(trials: int, out: Path) -> None:
    """Tune, say what came out, save the model."""
    task = TASKS["resnet18"]
    model = task.model()
    model.load_state_dict(load_file(trained("resnet18", task) / "weights.safetensors"))

    training, test = fashion_mnist.read("train"), fashion_mnist.read("t10k")
    calibration = TensorDataset(fashion_mnist.network_input(training.pixels[:256], 32))
    evaluation = TensorDataset(fashion_mnist.network_input(test.pixels, 32), torch.from_numpy(test.labels))
    result = autoq.fit(
        model.eval(),
        {
            "model": {"name": "ResNet18", "framework": "pytorch_eager"},
            "quantization": {"calibration": {"sampling_size": 256}},
            "evaluation": {
                "accuracy": {"metric": "top1", "held_out": 0.3},
                "performance": {"cores_per_instance": 1, "batch_size": 1},
            },
            "tuning": {
                "accuracy_criterion": {"relative": 0.01},
                "exit_policy": {"max_trials": trials},
                "workspace": "demo",
            },
        },
        DataLoader(calibration, batch_size=64),
        eval_dataloader=DataLoader(evaluation, batch_size=100),
    )
    tell(result, out)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Tune ResNet18 through autoq.fit.")
    parser.add_argument("--trials", type=int, default=20, help="trials at most")
    parser.add_argument("--out", type=Path, default=Path("demo/eager_resnet18"), help="where to save the model")
    arguments = parser.parse_args()
    main(arguments.trials, arguments.out)
