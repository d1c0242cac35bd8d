"""Trains the example networks, once: weights are kept until something that decides them changes.

python -m examples.pytorch.train [NAME ...]
"""

from __future__ import annotations

import argparse
import json
import sys
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import save_file

from examples.assets import AssetError, announce
from examples.prepared import prepare
from examples.pytorch.tasks import TASKS, Task
from examples.pytorch.training.loop import fit

WEIGHTS = "weights.safetensors"
_RECORD = "training.json"


def trained(name: str, task: Task) -> Path:
    """Folder with ``weights.safetensors`` and ``training.json``; trained now unless it is there intact.

    Raises:
        AssetError: The data could not be fetched.
    """
    facts = {**task.facts(), "torch": torch.__version__.partition("+")[0]}
    return prepare(f"trained/{name}", task.recipe, partial(_build, name, task), facts)


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
