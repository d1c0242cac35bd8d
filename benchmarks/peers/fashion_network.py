"""The ResNet18 of the PyTorch examples, trained on Fashion-MNIST, as ONNX with its pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from benchmarks.peers import neutral
from examples.onnxrt.export import export_onnx
from examples.pytorch import fashion_mnist
from examples.pytorch.tasks import TASKS
from examples.pytorch.train import WEIGHTS, trained

_SIDE = 32
_CALIBRATION = 64
_TUNE = 7000


def build(folder: Path) -> None:
    """Write model and samples; the pictures of the test set are divided at random."""
    task = TASKS["resnet18"]
    model = task.model()
    model.load_state_dict(load_file(trained("resnet18", task) / WEIGHTS))
    example = {"input": torch.zeros(2, 1, _SIDE, _SIDE)}
    export_onnx(model.eval(), example, ["logits"], folder / neutral.MODEL)
    training, test = fashion_mnist.read("train"), fashion_mnist.read("t10k")
    first = fashion_mnist.network_input(training.pixels[:_CALIBRATION], _SIDE).numpy()
    neutral.write_samples(folder, "calibration", {"input": first})
    order = np.random.default_rng(0).permutation(len(test.labels))
    for name, chosen in (("tune", order[:_TUNE]), ("held_out", order[_TUNE:])):
        pictures = fashion_mnist.network_input(test.pixels[chosen], _SIDE).numpy()
        neutral.write_samples(folder, name, {"input": pictures}, test.labels[chosen])
