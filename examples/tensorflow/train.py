"""Trains the example networks, once: they are kept until something that decides them changes.

python -m examples.tensorflow.train [NAME ...]
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

import keras

from examples.assets import AssetError, announce, cache_root
from examples.prepared import is_prepared, prepare
from examples.tensorflow.tasks import TASKS, Task
from examples.tensorflow.training import fit

KERAS, SAVED_MODEL = "model.keras", "saved_model"
_RECORD = "training.json"
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}


def folder_of(name: str) -> Path:
    """Where ``model.keras``, ``saved_model/`` and ``training.json`` of a trained network lie."""
    return cache_root() / "trained" / "tensorflow" / name


def trained(name: str, task: Task) -> Path:
    """The folder of a trained network; trained now unless it is there intact.

    Raises:
        AssetError: The data could not be fetched.
    """
    return prepare(f"trained/tensorflow/{name}", task.recipe, partial(_build, name, task), task.facts())


def train_side_by_side(names: Sequence[str]) -> None:
    """Train those of the networks that are not trained yet: one process per core, one thread each.

    A process of its own also keeps the seeds of the training from the caller.

    Raises:
        AssetError: A training failed; it has said why.
    """
    missing = [
        name
        for name, task in TASKS.items()
        if name in names and not is_prepared(f"trained/tensorflow/{name}", task.recipe, task.facts())
    ]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        failed = [n for n, code in zip(missing, pool.map(_in_child, missing), strict=True) if code]
    if failed:
        raise AssetError(f"training of {', '.join(failed)} failed")


def record(folder: Path) -> dict[str, str | float]:
    """What ``training.json`` says: accuracy, seconds, version of Keras."""
    loaded: dict[str, str | float] = json.loads((folder / _RECORD).read_text())
    return loaded


def exported(name: str, side: int, folder: Path) -> Path:
    """SavedModel folder of a trained network for pictures of another side, with the weights of its own."""
    network = TASKS[name].network(side)
    network.set_weights(keras.models.load_model(folder_of(name) / KERAS).get_weights())
    network.export(folder, verbose=False)
    return folder


def _in_child(name: str) -> int:
    command = [sys.executable, "-m", "examples.tensorflow.train", name]
    return subprocess.run(command, env={**os.environ, **_ONE_THREAD}, stdout=subprocess.DEVNULL, check=False).returncode


def _build(name: str, task: Task, folder: Path) -> None:
    def say(line: str) -> None:
        print(f"[train] {name}: {line}", file=sys.stderr, flush=True)

    problem, model = task.problem(), None
    for settings in task.cycles:
        model = fit(task.network, problem, settings, say, model)
    score = task.score(model, task.side)
    say(f"accuracy {score:.4f} on the test data")
    # Without what only training needs, such as the optimizer's state.
    bare = task.network(task.side)
    bare.set_weights(model.get_weights())
    bare.save(folder / KERAS)
    bare.export(folder / SAVED_MODEL, verbose=False)
    (folder / _RECORD).write_text(json.dumps({"accuracy": score, "keras": keras.__version__}, indent=1) + "\n")


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
            print(f"{name:14} accuracy {record(folder)['accuracy']:.4f}  {folder}")
    except AssetError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
