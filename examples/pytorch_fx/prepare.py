"""Prepares the FX examples: data, trained weights and job files, once.

python -m examples.pytorch_fx.prepare [classifier | transformer | detector ...]
"""

from __future__ import annotations

import argparse
import shutil
import sys
from functools import partial
from pathlib import Path

from examples.assets import AssetError
from examples.prepared import prepare
from examples.pytorch import prepare as networks

NETWORKS = {"classifier": "resnet18", "transformer": "minilm", "detector": "detector"}
"""The example network behind each job."""


def prepare_job(name: str) -> Path:
    """Data, weights and job file of one example; returns the job file.

    Raises:
        AssetError: Something could not be fetched.
    """
    networks.prepare_example(NETWORKS[name])
    job = Path(__file__).with_name(f"{name}.yaml")
    return prepare(f"pytorch_fx/{name}", (job,), partial(_copy, job)) / "job.yaml"


def _copy(job: Path, folder: Path) -> None:
    shutil.copy(job, folder / "job.yaml")


def main() -> int:
    """Prepare what the command line names, or everything."""
    parser = argparse.ArgumentParser(description="Prepare data, weights and job files of the FX examples.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(NETWORKS)}; all by default")
    names = parser.parse_args().names or list(NETWORKS)
    unknown = [n for n in names if n not in NETWORKS]
    if unknown:
        parser.error(f"unknown name {unknown[0]!r}; known: {', '.join(NETWORKS)}")
    try:
        for name in names:
            print(prepare_job(name))
    except AssetError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
