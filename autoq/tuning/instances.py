"""Speed with several instances side by side: processes of their own that all run the same model at a time."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import IO

import numpy as np

from autoq.core.adaptor import RunOptions
from autoq.core.batch import Inputs
from autoq.core.errors import AutoqError, RunnerError
from autoq.core.registry import make_adaptor
from autoq.core.trial import Latency
from autoq.evaluation.intervals import median_ratio_interval
from autoq.tuning.inputs_file import read_inputs, write_inputs

SLICE = 0.25
"""Seconds each model runs in one round."""

_LEAST_ROUNDS = 5


def measure_instances(
    framework: str,
    folders: Mapping[str, Path],
    reference: str,
    inputs: Inputs,
    *,
    instances: int,
    threads: int | None,
    rounds: int,
    seconds: float,
    confidence: float,
    seed: int,
) -> dict[str, Latency]:
    """Seconds of one run while `instances` processes run the same model, by model name.

    In each round the models take turns in random order; all instances run the same one for a slice of time.
    Samples per second of all together are ``instances × batch size / seconds``.

    Args:
        framework: Which adaptor loads the models.
        folders: Saved models by name.
        reference: Name of the model that ratios are relative to.
        inputs: One batch.
        instances: Processes.
        threads: Threads per instance.
        rounds: Rounds at most.
        seconds: Seconds after which no further round begins, once there are five.
        confidence: Coverage of the ratios' intervals.
        seed: Seed of the order within rounds.

    Raises:
        RunnerError: An instance could not load or run a model, or died.
    """
    with tempfile.TemporaryDirectory(prefix="autoq-instances-") as scratch:
        request = Path(scratch) / "request.json"
        batch = Path(scratch) / "inputs.npz"
        write_inputs(inputs, batch)
        named = {name: str(folder) for name, folder in folders.items()}
        request.write_text(
            json.dumps({"framework": framework, "folders": named, "inputs": str(batch), "threads": threads})
        )
        running = [_Instance(request) for _ in range(instances)]
        try:
            for instance in running:
                instance.answer()
            times = _rounds(running, list(folders), rounds, seconds, seed)
        finally:
            for instance in running:
                instance.end()
    base = times[reference]
    return {
        name: Latency(median(found), median(base), median_ratio_interval(found, base, confidence), len(found))
        for name, found in times.items()
    }


def _rounds(
    running: Sequence[_Instance], names: Sequence[str], rounds: int, seconds: float, seed: int
) -> dict[str, list[float]]:
    order = np.random.default_rng(seed)
    times: dict[str, list[float]] = {name: [] for name in names}
    deadline = time.monotonic() + seconds
    for done in range(max(rounds, _LEAST_ROUNDS)):
        if done >= _LEAST_ROUNDS and time.monotonic() > deadline:
            break
        for index in order.permutation(len(names)):
            for instance in running:
                instance.ask(names[index])
            times[names[index]].append(float(np.mean([instance.answer() for instance in running])))
    return times


class _Instance:
    """One process, asked by name which model to run for a slice of time."""

    def __init__(self, request: Path) -> None:
        to_child, from_parent = os.pipe()
        to_parent, from_child = os.pipe()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "autoq.tuning.instances", str(request), str(to_child), str(from_child)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(to_child, from_child),
        )
        os.close(to_child)
        os.close(from_child)
        self._reader = os.fdopen(to_parent, "r", encoding="utf-8")
        self._writer = os.fdopen(from_parent, "w", encoding="utf-8")

    def ask(self, name: str) -> None:
        with contextlib.suppress(OSError):  # reading the answer says that it died
            self._writer.write(json.dumps(name) + "\n")
            self._writer.flush()

    def answer(self) -> float:
        line = self._reader.readline()
        if not line:
            raise RunnerError("an instance died while speed was measured")
        answer = json.loads(line)
        if isinstance(answer, str):
            raise RunnerError(f"an instance could not run the model: {answer}")
        return float(answer)

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.close()
        with contextlib.suppress(OSError):
            self._writer.close()


def _serve(request: Path, reader: IO[str], writer: IO[str]) -> None:
    """Load every model, then run what is asked for, a slice of time each."""

    def tell(value: float | str) -> None:
        writer.write(json.dumps(value) + "\n")
        writer.flush()

    asked = json.loads(request.read_text())
    inputs = read_inputs(Path(asked["inputs"]))
    options = RunOptions(asked["threads"])
    try:
        adaptor = make_adaptor(asked["framework"])
        candidates = {name: adaptor.load_artifact(Path(f), options) for name, f in asked["folders"].items()}
        for candidate in candidates.values():
            candidate.predict(inputs)
        tell(0.0)
        for line in reader:
            candidate = candidates[json.loads(line)]
            started, runs = time.perf_counter(), 0
            while (spent := time.perf_counter() - started) < SLICE or runs == 0:
                candidate.predict(inputs)
                runs += 1
            tell(spent / runs)
    except AutoqError as error:
        tell(str(error))


if __name__ == "__main__":
    _serve(
        Path(sys.argv[1]),
        os.fdopen(int(sys.argv[2]), "r", encoding="utf-8"),
        os.fdopen(int(sys.argv[3]), "w", encoding="utf-8"),
    )
