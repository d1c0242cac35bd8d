"""Prepares the examples for TensorFlow and LiteRT: data and trained networks, once.

python -m examples.tensorflow.prepare [classifier | text | mobilenet_v2 | resnet18 ...]
"""

from __future__ import annotations

import argparse
import shutil
import sys
from functools import partial
from pathlib import Path

from examples.assets import AssetError, announce, cache_root
from examples.prepared import prepare
from examples.tensorflow import data
from examples.tensorflow.tasks import TASKS
from examples.tensorflow.train import train_side_by_side, trained

QUICK = ("classifier", "text")
"""Networks that take a minute to train; the others take longer, and are prepared by name."""

_JOBS = Path(__file__).parent / "jobs"
_LITERT = "_litert"


def job_file(name: str) -> Path:
    """Where an example's job is written: ``name`` for stock TensorFlow, ``name_litert`` for LiteRT."""
    return cache_root() / "tensorflow" / "jobs" / name / "job.yaml"


def prepare_example(name: str) -> Path:
    """Data, trained network and job files of one example; returns the folder of the network.

    Raises:
        AssetError: Something could not be fetched.
    """
    task = TASKS[name]
    if task.side:
        data.pictures(task.side)
    else:
        data.token_ids()
    for job in (name, name + _LITERT):
        prepare(f"tensorflow/jobs/{job}", (_JOBS / f"{job}.yaml",), partial(_copy, job))
    return trained(name, task)


def _copy(job: str, folder: Path) -> None:
    shutil.copy(_JOBS / f"{job}.yaml", folder / "job.yaml")


def main() -> int:
    """Prepare what the command line names, or the networks that take a minute to train."""
    parser = argparse.ArgumentParser(description="Prepare data and networks of the TensorFlow examples.")
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"of {', '.join(TASKS)}; {' and '.join(QUICK)} by default"
    )
    names = parser.parse_args().names or list(QUICK)
    unknown = [n for n in names if n not in TASKS]
    if unknown:
        parser.error(f"unknown name {unknown[0]!r}; known: {', '.join(TASKS)}")
    announce(dict.fromkeys(TASKS[n].asset for n in names))
    try:
        train_side_by_side(names)
        for name in names:
            prepare_example(name)
            print(job_file(name), job_file(name + _LITERT), sep="\n")
    except AssetError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
