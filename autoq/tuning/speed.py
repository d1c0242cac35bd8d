"""Latency and throughput of a saved model next to fp32, in one process or in several side by side."""

from __future__ import annotations

import contextlib
import multiprocessing
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from autoq.config.schema import Job
from autoq.core.adaptor import RunOptions
from autoq.core.batch import Inputs
from autoq.core.errors import AutoqError, DataError, RunnerError
from autoq.core.plan import FP32_PLAN
from autoq.core.registry import make_adaptor
from autoq.core.trial import Latency
from autoq.evaluation.intervals import median_ratio_interval
from autoq.evaluation.latency import interleave
from autoq.tuning.assemble import setup_of

_PRECISION = 0.01
_SLICE = 0.25
"""Seconds each model runs in one round of several instances."""


@dataclass(frozen=True)
class SpeedRequest:
    """How speed is measured.

    Attributes:
        threads: Threads per instance; None for the framework's default.
        instances: Processes side by side.
        batch_size: Samples per run.
        rounds: Interleaved rounds at most.
        warmup: Runs before the clock starts.
        seconds: Seconds at most.
        confidence: Coverage of the ratio's interval.
        seed: Seed of the order within rounds.
    """

    threads: int | None
    instances: int
    batch_size: int
    rounds: int
    warmup: int
    seconds: float
    confidence: float
    seed: int


@dataclass(frozen=True)
class Speed:
    """Latency of one run, by model name; fp32 is always among them."""

    request: SpeedRequest
    latencies: Mapping[str, Latency]

    def throughput(self, name: str) -> float:
        """Samples per second of all instances together."""
        return self.request.instances * self.request.batch_size / self.latencies[name].seconds

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "threads": self.request.threads,
            "instances": self.request.instances,
            "batch_size": self.request.batch_size,
            "models": {
                name: {**latency.to_json(), "samples_per_second": self.throughput(name)}
                for name, latency in self.latencies.items()
            },
        }


def measure_speed(job: Job, model: Path | None, request: SpeedRequest) -> Speed:
    """Measure the job's fp32 model, and a saved model beside it.

    Raises:
        AutoqError: A model or the data cannot be used.
    """
    setup = setup_of(job)
    fp32 = setup.adaptor.load(setup.source)
    source = setup.open_data(fp32.inputs).latency
    batch = next(iter(source.batches(0, request.batch_size)), None) if source is not None else None
    if batch is None:
        raise DataError("there are no samples to measure with", hint="give evaluation.accuracy.dataloader")
    inputs = batch.inputs
    options = RunOptions(request.threads)
    with tempfile.TemporaryDirectory(prefix="autoq-speed-") as scratch:
        folders = {"fp32": Path(scratch) / "fp32"}
        folders["fp32"].mkdir()
        setup.adaptor.save(setup.adaptor.apply(fp32, FP32_PLAN, None, options), folders["fp32"])
        if model is not None:
            folders[model.stem if model.stem not in ("", "fp32") else f"{model} (given)"] = model
        candidates = {n: setup.adaptor.load_artifact(folder, options) for n, folder in folders.items()}
        if request.instances > 1:
            for candidate in candidates.values():
                candidate.predict(inputs)  # what does not work is told here, as what it is
                candidate.close()
            return Speed(request, _several(job.model.framework, folders, inputs, request))
        found = interleave(
            {n: (lambda c=c: c.predict(inputs)) for n, c in candidates.items()},  # type: ignore[misc]
            "fp32",
            warmup=request.warmup,
            rounds=request.rounds,
            seconds=request.seconds,
            precision=_PRECISION,
            confidence=request.confidence,
            seed=request.seed,
        )
    return Speed(request, found)


def _several(framework: str, folders: Mapping[str, Path], inputs: Inputs, request: SpeedRequest) -> dict[str, Latency]:
    context = multiprocessing.get_context("spawn")
    pipes = [context.Pipe() for _ in range(request.instances)]
    processes = [
        context.Process(target=_instance, args=(theirs, framework, folders, inputs, request.threads), daemon=True)
        for _, theirs in pipes
    ]
    for process in processes:
        process.start()
    try:
        ours = [mine for mine, _ in pipes]
        for _, theirs in pipes:
            theirs.close()
        for connection in ours:
            _receive(connection)
        return _rounds(ours, list(folders), request)
    finally:
        for process in processes:
            process.kill()
            process.join()


def _rounds(connections: Sequence[Connection], names: list[str], request: SpeedRequest) -> dict[str, Latency]:
    """Take turns: in each round every instance runs each model for a slice of time, all the same one."""
    order = np.random.default_rng(request.seed)
    times: dict[str, list[float]] = {name: [] for name in names}
    deadline = time.monotonic() + request.seconds
    for done in range(request.rounds):
        if done >= 5 and time.monotonic() > deadline:
            break
        for index in order.permutation(len(names)):
            name = names[index]
            for connection in connections:
                with contextlib.suppress(BrokenPipeError):  # receiving says that it died
                    connection.send((name, _SLICE))
            times[name].append(float(np.mean([_receive(c) for c in connections])))
    return {
        name: Latency(
            median(found),
            median(times["fp32"]),
            median_ratio_interval(found, times["fp32"], request.confidence),
            len(found),
        )
        for name, found in times.items()
    }


def _receive(connection: Connection) -> float:
    try:
        answer = connection.recv()
    except (EOFError, ConnectionResetError):
        raise RunnerError("an instance died while speed was measured") from None
    if isinstance(answer, str):
        raise RunnerError(f"an instance could not run the model: {answer}")
    return float(answer)


def _instance(
    connection: Connection, framework: str, folders: Mapping[str, Path], inputs: Inputs, threads: int | None
) -> None:
    """One instance: loads every model, then runs what it is told for as long as it is told."""
    try:
        adaptor = make_adaptor(framework)
        candidates = {name: adaptor.load_artifact(folder, RunOptions(threads)) for name, folder in folders.items()}
        for candidate in candidates.values():
            candidate.predict(inputs)
        connection.send(0.0)
        while True:
            name, seconds = connection.recv()
            started, runs = time.perf_counter(), 0
            while (spent := time.perf_counter() - started) < seconds or runs == 0:
                candidates[name].predict(inputs)
                runs += 1
            connection.send(spent / runs)
    except EOFError:
        return  # measured enough
    except AutoqError as error:
        connection.send(str(error))
