"""Latency and throughput of a saved model next to fp32, in one process or in several side by side."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autoq.config.schema import Job
from autoq.core.adaptor import RunOptions
from autoq.core.errors import DataError
from autoq.core.plan import FP32_PLAN
from autoq.core.trial import Latency
from autoq.evaluation.latency import interleave
from autoq.tuning.assemble import setup_of
from autoq.tuning.candidates import deployed
from autoq.tuning.instances import measure_instances

_PRECISION = 0.01


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
        setup.adaptor.save(deployed(setup.adaptor.apply(fp32, FP32_PLAN, None, options)), folders["fp32"])
        if model is not None:
            folders[model.stem if model.stem not in ("", "fp32") else f"{model} (given)"] = model
        candidates = {n: setup.adaptor.load_artifact(folder, options) for n, folder in folders.items()}
        if request.instances > 1:
            for candidate in candidates.values():
                candidate.predict(inputs)  # what does not work is told here, as what it is
                candidate.close()
            several = measure_instances(
                job.model.framework,
                folders,
                "fp32",
                inputs,
                instances=request.instances,
                threads=request.threads,
                rounds=request.rounds,
                seconds=request.seconds,
                confidence=request.confidence,
                seed=request.seed,
            )
            return Speed(request, several)
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
