"""Trains the example networks, once: weights are kept until something that decides them changes.

python -m examples.pytorch.train [NAME ...]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import save_file

from examples.assets import AssetError, announce
from examples.prepared import is_prepared, prepare
from examples.pytorch.tasks import TASKS, Task
from examples.pytorch.training.loop import fit

WEIGHTS = "weights.safetensors"
_RECORD = "training.json"


def trained(name: str, task: Task) -> Path:
    """Folder with ``weights.safetensors`` and ``training.json``; trained now unless it is there intact.

    Raises:
        AssetError: The data could not be fetched.
    """
    return prepare(f"trained/{name}", task.recipe, partial(_build, name, task), _facts(task))


def train_side_by_side(names: Sequence[str]) -> None:
    """Train those of the networks that are not trained yet: one process per core, one thread each.

    The threads of one training wait for each other at every step, and for long on a busy machine.

    Raises:
        AssetError: A training failed; it has said why.
    """
    # `TASKS` begins with the longest.
    missing = [n for n, t in TASKS.items() if n in names and not is_prepared(f"trained/{n}", t.recipe, _facts(t))]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        failed = [n for n, code in zip(missing, pool.map(_in_child, missing), strict=True) if code]
    if failed:
        raise AssetError(f"training of {', '.join(failed)} failed")


def _in_child(name: str) -> int:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "examples.pytorch.train", name]
    return subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=False).returncode


def _facts(task: Task) -> dict[str, str]:
    return {**task.facts(), "torch": torch.__version__.partition("+")[0]}


def record(folder: Path) -> dict[str, str | float]:
    """What ``training.json`` says: metric, score, seconds, threads, version of PyTorch."""
    loaded: dict[str, str | float] = json.loads((folder / _RECORD).read_text())
    return loaded


def _build(name: str, task: Task, folder: Path) -> None:
    def say(text: str) -> None:
        print(f"[train] {name}: {text}", file=sys.stderr, flush=True)

    # The initial weights are random, too.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(task.cycles[0].seed)
        model = task.model()
    say("reading the data")
    problem = task.problem()
    seconds = sum(fit(model, problem, cycle, say) for cycle in task.cycles)
    score = task.score(model)
    say(f"{task.metric} {score:.4f} on the test data, {seconds:.0f} s with {torch.get_num_threads()} threads")
    save_file({key: value.contiguous() for key, value in model.state_dict().items()}, folder / WEIGHTS)
    found = {
        "metric": task.metric,
        "score": score,
        "seconds": seconds,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
    (folder / _RECORD).write_text(json.dumps(found, indent=1) + "\n")


def main() -> int:
    """Train what the command line names, or everything."""
    parser = argparse.ArgumentParser(description="Train the example networks; minutes the first time.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(TASKS)}; all by default")
    names = parser.parse_args().names or list(TASKS)
    unknown = [n for n in names if n not in TASKS]
    if unknown:
        parser.error(f"unknown name {unknown[0]!r}; known: {', '.join(TASKS)}")
    announce(dict.fromkeys(TASKS[n].asset for n in names))
    try:
        if len(names) > 1:
            train_side_by_side(names)
        for name in names:
            folder = trained(name, TASKS[name])
            found = record(folder)
            print(f"{name:14} {found['metric']} {found['score']:.4f}  {folder / WEIGHTS}")
    except AssetError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
