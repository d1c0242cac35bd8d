"""One judge for all tools: scores and times a model in the runtime it is for, in the environment of this program."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from autoq.evaluation.latency import interleave
from benchmarks.peers import metric, neutral
from benchmarks.peers.cells import Judged
from benchmarks.peers.drivers.session import onnx_run
from benchmarks.peers.metric import Run
from benchmarks.peers.neutral import Task
from benchmarks.peers.tools import Runtime

_WARMUP, _ROUNDS, _SECONDS, _PRECISION = 5, 300, 30.0, 0.01
_LATENCY_SAMPLES = 8


def load_run(path: Path, runtime: Runtime) -> Run:
    """A runner of a model file on one thread."""
    if runtime == "onnxruntime":
        return onnx_run(str(path))
    from benchmarks.peers.drivers.openvino_run import load

    return load(str(path))


def judge(folder: Path, limit: float, model: Path | None, runtime: Runtime) -> Judged:
    """What a model is worth on a task.

    Args:
        folder: The task's folder.
        limit: Largest loss allowed.
        model: The model file, or None for fp32 itself: then only fp32 is scored.
        runtime: What it is for.
    """
    task = neutral.read_task(folder)
    reference = load_run(folder / neutral.MODEL, runtime)
    candidate = None if model is None else load_run(model, runtime)
    scores = {name: _scores(task, folder, name, reference, candidate) for name in ("tune", "held_out")}
    losses = {name: task.loss(found, base) for name, (base, found) in scores.items()}
    baseline, found = scores["tune"]
    ratio = (1.0, 1.0, 1.0) if candidate is None else _latency(task, folder, reference, candidate)
    return Judged(
        tune=found,
        tune_fp32=baseline,
        tune_loss=losses["tune"],
        held_out=scores["held_out"][1],
        held_out_fp32=scores["held_out"][0],
        held_out_loss=losses["held_out"],
        keeps=baseline - found <= task.allowed_drop(limit, baseline) + 1e-9,
        latency=ratio[0],
        low=ratio[1],
        high=ratio[2],
        size_mb=_size(model if model is not None else folder / neutral.MODEL) / 1e6,
    )


def _scores(task: Task, folder: Path, name: str, reference: Run, candidate: Run | None) -> tuple[float, float]:
    samples = neutral.read_samples(folder, name, task)
    predictions = metric.predict(task, reference, samples)
    if task.metric == "agreement":
        samples = replace(samples, labels=predictions)
    if samples.labels is None:
        raise ValueError(f"task {task.name} has no labels for {task.metric}")
    baseline = metric.score(task, predictions, samples.labels)
    if candidate is None:
        return baseline, baseline
    return baseline, metric.score(task, metric.predict(task, candidate, samples), samples.labels)


def _latency(task: Task, folder: Path, reference: Run, candidate: Run) -> tuple[float, float, float]:
    samples = neutral.read_samples(folder, "tune", task)
    # Not on one sample only: the time of some ops depends on what they compute.
    batches = list(samples.part(0, _LATENCY_SAMPLES * task.latency_batch).batches(task.latency_batch))

    def over_batches(run: Run) -> None:
        for batch in batches:
            run(batch.inputs)

    found = interleave(
        {"fp32": lambda: over_batches(reference), "candidate": lambda: over_batches(candidate)},
        "fp32",
        warmup=_WARMUP,
        rounds=_ROUNDS,
        seconds=_SECONDS,
        precision=_PRECISION,
    )["candidate"].ratio
    return found.value, found.low, found.high


def _size(model: Path) -> int:
    weights = model.with_suffix(".bin")
    return model.stat().st_size + (weights.stat().st_size if weights.exists() else 0)
