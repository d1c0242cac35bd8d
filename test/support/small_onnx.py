"""A small convolutional network on scikit-learn's handwritten digits: a real job that is over in seconds."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import yaml
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_digits

FILTERS = (16, 32)
TRAIN = 1000
"""Digits the last layer is fitted on; the rest are for evaluation."""


def digits() -> tuple[np.ndarray, np.ndarray]:
    """1797 pictures ``[n, 1, 8, 8]`` in 0 to 1, shuffled, and their labels."""
    bunch = load_digits()
    order = np.random.default_rng(0).permutation(len(bunch.target))
    images = (bunch.images[order] / 16).astype(np.float32)[:, None]
    return images, bunch.target[order].astype(np.int64)


def write_model(path: Path) -> Path:
    """Two fixed convolutions and a fitted last layer, about 95 % right."""
    path.write_bytes(_model_bytes())
    return path


def tiny_model() -> bytes:
    """The same kind of network with hardly any weights: a change of a byte is likely to hit its structure."""
    random = np.random.default_rng(2)
    weights = {
        "conv1.weight": random.normal(size=(2, 1, 3, 3)).astype(np.float32),
        "conv2.weight": random.normal(size=(1, 2, 3, 3)).astype(np.float32),
        "fc.weight": random.normal(size=(16, 10)).astype(np.float32),
        "fc.bias": np.zeros(10, np.float32),
    }
    return bytes(_graph(weights, ["logits"]).SerializeToString())


def write_data(folder: Path, samples: int = 240) -> None:
    """``calibration.npz`` from the training digits, ``digits.npz`` with labels from the others."""
    images, labels = digits()
    np.savez(folder / "calibration.npz", image=images[:64])
    np.savez(folder / "digits.npz", image=images[TRAIN : TRAIN + samples], label=labels[TRAIN : TRAIN + samples])


def job_data(**changes: Any) -> dict[str, Any]:
    """A complete job; ``section__key=value`` changes one key, None removes it."""
    loader = {
        "batch_size": 20,
        "dataset": {"npz": {"path": "digits.npz", "inputs": ["image"], "labels": "label"}},
    }
    data: dict[str, Any] = {
        "model": {"name": "digits", "framework": "onnxrt_qdq", "path": "digits.onnx"},
        "quantization": {
            "calibration": {
                "sampling_size": 40,
                "dataloader": {"batch_size": 20, "dataset": {"npz": {"path": "calibration.npz"}}},
            }
        },
        "evaluation": {
            "accuracy": {"metric": "top1", "dataloader": loader, "held_out": 0.25},
            "performance": {"iterations": 10, "warmup": 1, "batch_size": 1},
        },
        "tuning": {
            "strategy": {"name": "random"},
            "accuracy_criterion": {"absolute": 0.05},
            # Sizes are the same in every run, so that which plan wins does not depend on a clock.
            "objective": "size",
            "workspace": "workspace",
            "exit_policy": {"max_trials": 4},
        },
    }
    for path, value in changes.items():
        *parents, last = path.split("__")
        section = data
        for part in parents:
            section = section.setdefault(part, {})
        if value is None:
            section.pop(last, None)
        else:
            section[last] = value
    return data


def write_job(folder: Path, **changes: Any) -> Path:
    """Model, data and ``job.yaml`` in a folder; returns the job file."""
    folder.mkdir(parents=True, exist_ok=True)
    write_model(folder / "digits.onnx")
    write_data(folder)
    path = folder / "job.yaml"
    path.write_text(yaml.safe_dump(job_data(**changes), sort_keys=False))
    return path


@functools.cache
def _model_bytes() -> bytes:
    random = np.random.default_rng(1)
    first = random.normal(0, 1 / 3, (FILTERS[0], 1, 3, 3)).astype(np.float32)
    second = random.normal(0, 1 / 12, (FILTERS[1], FILTERS[0], 3, 3)).astype(np.float32)
    weights = {"conv1.weight": first, "conv2.weight": second}
    images, labels = digits()
    features = _run(_graph(weights, ["features"]), images[:TRAIN])
    # Ridge regression on one-hot labels: a closed form, the same on every machine up to rounding.
    design = np.concatenate([features, np.ones((len(features), 1), np.float32)], axis=1).astype(np.float64)
    wanted = np.eye(10)[labels[:TRAIN]]
    solved = np.linalg.solve(design.T @ design + 0.1 * np.eye(design.shape[1]), design.T @ wanted)
    weights |= {"fc.weight": solved[:-1].astype(np.float32), "fc.bias": solved[-1].astype(np.float32)}
    return bytes(_graph(weights, ["logits"]).SerializeToString())


def _graph(weights: dict[str, np.ndarray], outputs: list[str]) -> onnx.ModelProto:
    nodes = [
        helper.make_node("Conv", ["image", "conv1.weight"], ["c1"], "conv1", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c1"], ["r1"], "relu1"),
        helper.make_node("Conv", ["r1", "conv2.weight"], ["c2"], "conv2", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c2"], ["r2"], "relu2"),
        helper.make_node("MaxPool", ["r2"], ["p"], "pool", kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Flatten", ["p"], ["features"], "flatten"),
    ]
    if "fc.weight" in weights:
        nodes.append(helper.make_node("Gemm", ["features", "fc.weight", "fc.bias"], ["logits"], "fc"))
    width = 10 if "fc.weight" in weights else len(weights["conv2.weight"]) * 16
    graph = helper.make_graph(
        nodes,
        "digits",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 1, 8, 8])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", width]) for name in outputs],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _run(model: onnx.ModelProto, images: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"image": images})
    return np.asarray(found)
