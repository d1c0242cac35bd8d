"""Tuning from Python on the PyTorch compiler: ResNet18, MiniLM or the detector.

python -m examples.pytorch_pt2e.fit {resnet18,minilm,detector} [--trials N] [--out FOLDER]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import autoq
from examples.assets import cache_root
from examples.pytorch import models, scenes
from examples.pytorch.prepare import prepare_example

FRAMEWORK = "pytorch_pt2e"


@dataclass(frozen=True)
class Example:
    """What `autoq.fit` is given.

    Attributes:
        model: The module, in evaluation mode.
        calibration: Batches that fix the ranges.
        evaluation: Batches with labels.
        accuracy: The job's ``evaluation.accuracy``.
    """

    model: Callable[[], nn.Module]
    calibration: Callable[[], Iterable[Any]]
    evaluation: Callable[[], Iterable[Any]]
    accuracy: Mapping[str, Any]


def trained(name: str, module: nn.Module) -> nn.Module:
    """The module with the weights that `examples.pytorch.train` made."""
    module.load_state_dict(load_file(cache_root() / "trained" / name / "weights.safetensors"))
    return module.eval()


def pictures(file: str, batch_size: int) -> DataLoader[tuple[Tensor, ...]]:
    """Pictures, with their classes where they have some, in an ordinary DataLoader."""
    with np.load(cache_root() / "fashion-mnist-32" / file) as arrays:
        tensors = [torch.from_numpy(arrays[name]) for name in ("image", "label") if name in arrays]
    return DataLoader(TensorDataset(*tensors), batch_size=batch_size)


def words(batch_size: int) -> Iterator[tuple[dict[str, Tensor], Tensor]]:
    """Pairs of words as token ids and mask, and how similar people find them."""
    with np.load(cache_root() / "minilm" / "wordsim353.npz") as arrays:
        ids, mask, scores = (arrays[name] for name in ("input_ids", "attention_mask", "scores"))
    for start in range(0, len(scores), batch_size):
        rows = slice(2 * start, 2 * (start + batch_size))
        inputs = {"input_ids": torch.from_numpy(ids[rows]), "attention_mask": torch.from_numpy(mask[rows])}
        yield inputs, torch.from_numpy(scores[start : start + batch_size])


def canvases(batch_size: int) -> Iterator[Any]:
    """Scenes without labels."""
    with np.load(cache_root() / "scenes" / "calibration.npz") as arrays:
        images = arrays["image"]
    for start in range(0, len(images), batch_size):
        yield images[start : start + batch_size]


@dataclass(frozen=True)
class Again:
    """An iterable that can be walked more than once."""

    make: Callable[[], Iterator[Any]]

    def __iter__(self) -> Iterator[Any]:
        return self.make()


EXAMPLES: Mapping[str, Example] = {
    "resnet18": Example(
        lambda: trained("resnet18", models.resnet18(num_classes=10, in_channels=1)),
        lambda: pictures("calibration.npz", 64),
        lambda: pictures("test.npz", 100),
        {"metric": "top1", "held_out": 0.3},
    ),
    "minilm": Example(
        models.minilm,
        lambda: Again(lambda: (inputs for inputs, _ in words(8))),
        lambda: Again(lambda: words(16)),
        {"metric": "spearman", "postprocess": ["mean_pooling", "pair_cosine"], "held_out": 0.3},
    ),
    "detector": Example(
        lambda: trained("detector", models.detector(num_classes=10, in_channels=1)),
        lambda: Again(lambda: canvases(16)),
        lambda: Again(lambda: scenes.labelled(batch_size=20)),
        {
            "metric": "map",
            "postprocess": [
                "examples.pytorch.detection:decode",
                {"name": "boxes", "arguments": {"boxes": "boxes", "scores": "scores"}},
            ],
            "held_out": 0.3,
        },
    ),
}


def main(name: str, trials: int, out: Path) -> None:
    """Tune, say what came out, save the model."""
    prepare_example(name)
    example = EXAMPLES[name]
    accuracy = dict(example.accuracy)
    if name == "minilm":
        accuracy["dataloader"] = {"rows_per_sample": 2}
    conf = {
        "model": {"name": name, "framework": FRAMEWORK},
        "quantization": {"calibration": {"sampling_size": 64}},
        "evaluation": {"accuracy": accuracy, "performance": {"cores_per_instance": 1}},
        "tuning": {
            "accuracy_criterion": {"relative": 0.01},
            "exit_policy": {"max_trials": trials},
            "workspace": "demo",
        },
    }
    result = autoq.fit(example.model(), conf, example.calibration(), eval_dataloader=example.evaluation())
    best = result.best
    if best is not None and best.speed is not None:
        score = best.scores[0]
        print(f"accepted: {score.metric} {score.value:.4f}, loss {score.loss.value:.4f} of {score.limit:.4f} allowed,")
        print(f"latency {best.speed:.2f} of fp32 compiled, {len(result.trials)} trials")
    else:
        print(f"fp32 stays: none of {len(result.trials)} trials was both accurate enough and faster")
    print(f"saved to {result.save(out)}; report: {result.report()}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=EXAMPLES)
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    main(arguments.name, arguments.trials, arguments.out or Path("demo") / f"pt2e-{arguments.name}")
