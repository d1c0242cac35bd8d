"""Networks trained on Fashion-MNIST as ONNX files, and the jobs that tune them on its 10,000 test pictures."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from autoq.config.loader import job_from_mapping
from autoq.config.schema import Job
from examples.onnxrt import export
from examples.onnxrt.export import export_onnx
from examples.prepared import prepare
from examples.pytorch import pictures
from examples.pytorch.tasks import TASKS
from examples.pytorch.train import WEIGHTS, trained

MODEL = "model.onnx"
SIDES: Mapping[str, int] = {"resnet18": 32, "mobilenet_v2": 40}
"""Networks of the examples, and the side of their pictures."""


def network(name: str) -> Path:
    """The ONNX file of a trained network of the examples.

    Raises:
        AssetError: Its data could not be fetched.
    """
    weights = trained(name, TASKS[name]) / WEIGHTS
    recipe = (Path(__file__), Path(export.__file__), *TASKS[name].recipe)
    return prepare(f"benchmarks/{name}", recipe, partial(_build, name, weights), TASKS[name].facts()) / MODEL


def job(
    name: str,
    model: Path,
    side: int,
    workspace: Path,
    *,
    metric: str = "top1",
    rules: Mapping[str, Any] | None = None,
    tune: Path | None = None,
    **tuning: Any,
) -> Job:
    """A job for ONNX Runtime; calibrated on training pictures, without held-out data.

    Args:
        name: Name of the model.
        model: Its file.
        side: Of the pictures, in pixels.
        workspace: Of the job.
        metric: ``top1``, or ``agreement`` with fp32.
        rules: Keys of the section ``quantization`` that narrow the space, or replace its approach.
        tune: Pictures to tune on in place of the 10,000 of the test set.
        tuning: Further keys of the section ``tuning``.
    """
    data = pictures.main(side)
    arrays: dict[str, Any] = {"path": str(tune or data / "test.npz"), "inputs": ["image"]}
    if metric != "agreement":
        arrays["labels"] = "label"
    return job_from_mapping(
        {
            "model": {"name": name, "framework": "onnxrt_qdq", "path": str(model)},
            "quantization": {
                "approach": "post_training_static_quant",
                "calibration": {
                    "sampling_size": 128,
                    "dataloader": {
                        "dataset": {"npz": {"path": str(data / "calibration.npz")}},
                        "batch_size": 64,
                    },
                },
                **(rules or {}),
            },
            "evaluation": {
                "accuracy": {"metric": metric, "dataloader": {"dataset": {"npz": arrays}, "batch_size": 50}},
                "performance": {"cores_per_instance": 1, "batch_size": 1},
            },
            "tuning": {"random_seed": 0, "workspace": str(workspace), **tuning},
        },
        workspace,
    )


def _build(name: str, weights: Path, folder: Path) -> None:
    model = TASKS[name].model()
    model.load_state_dict(load_file(weights))
    side = SIDES[name]
    export_onnx(model.eval(), {"image": torch.zeros(2, 1, side, side)}, ["logits"], folder / MODEL)
