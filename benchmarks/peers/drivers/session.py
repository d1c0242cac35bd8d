"""What every driver shares: the task, counted and timed evaluations, the best attempt, and the outcome as JSON.

Runs in every tool's environment: Python 3.10, NumPy and one runtime.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers import metric, neutral
from benchmarks.peers.metric import Predictions, Run
from benchmarks.peers.neutral import Arrays, Samples

OUTCOME = "outcome.json"
ATTEMPT = "attempt.onnx"


class OutOfTime(Exception):  # noqa: N818
    """The time limit is reached; raised out of an evaluation to end a search that has no limit of its own."""


@dataclass(frozen=True)
class Answer:
    """What a tool gave back.

    Attributes:
        model: File in the output folder that a runtime loads; None when the tool keeps fp32 or gives nothing.
        accepted: Whether the tool says the limit is kept; None where it does not say.
        evaluations: Evaluations it counted itself, where they do not go through the session.
        samples: Samples it scored itself, likewise.
        notes: What else it said.
        accepted_after: Seconds until it had an accepted model, where it goes on afterwards.
    """

    model: str | None
    accepted: bool | None
    evaluations: int | None = None
    samples: int | None = None
    notes: str = ""
    accepted_after: float | None = None


@dataclass(frozen=True)
class Evaluation:
    """One evaluation: the score, and by batch what it is made of."""

    score: float
    predictions: list[Predictions]
    batches: list[Samples]


class Session:
    """One search of one tool.

    Attributes:
        task: The task.
        limit: Largest loss allowed, in the task's tolerance.
        timeout: Seconds the search may take.
        model: Path of the fp32 model.
        calibration: Samples for ranges.
        tune: Samples to score on; for agreement, the labels are fp32's own answers.
        out: Folder for what comes out; also the working folder.
        baseline: fp32's score on `tune`.
        fp32_seconds: Seconds of one full fp32 evaluation, measured just before the search.
        last_full: Score of the last evaluation on all of `tune`.
    """

    def __init__(self, folder: Path, limit: float, timeout: float, out: Path, float_run: Run) -> None:
        self.task = neutral.read_task(folder)
        self.limit, self.timeout, self.out = limit, timeout, out
        self.folder, self.model = folder, folder / neutral.MODEL
        self.calibration = neutral.read_samples(folder, "calibration", self.task)
        tune = neutral.read_samples(folder, "tune", self.task)
        metric.predict(self.task, float_run, tune.part(0, self.task.batch_size))
        started = time.perf_counter()
        found = metric.predict(self.task, float_run, tune)
        self.fp32_seconds = time.perf_counter() - started
        self.tune = replace(tune, labels=found) if self.task.metric == "agreement" else tune
        self.baseline = metric.score(self.task, found, self.labels_of(self.tune))
        self.last_full = self.baseline
        self.attempt_score: float | None = None
        self._evaluations, self._samples = 0, 0
        self._started = math.inf

    def search(self, tool: Callable[[Session], Answer], packages: Sequence[str]) -> None:
        """Run the tool and write its outcome; what was counted so far is written after each evaluation as well."""
        self._versions = {name: metadata.version(name) for name in packages}
        self._started = time.perf_counter()
        self._write("running")
        try:
            answer = tool(self)
        except OutOfTime:
            self._write("out of time")
        else:
            late = answer.model is None and not answer.accepted and self.seconds >= self.timeout
            self._write("out of time" if late else "finished", answer)

    def evaluate(
        self, run: Run, batches: Iterable[Samples] | None = None, keep: Callable[[Path], object] | None = None
    ) -> Evaluation:
        """Score a model.

        Args:
            run: Runs it on one batch.
            batches: What to score on; all of `tune` by default.
            keep: Writes the model to a path. Given for quantized models, of which the best is kept as the attempt.

        Raises:
            OutOfTime: The time limit is reached.
        """

        def in_time(inputs: Arrays) -> Sequence[Any]:
            if self.seconds > self.timeout:
                raise OutOfTime
            return run(inputs)

        parts = list(self.tune.batches(self.task.batch_size) if batches is None else batches)
        predictions = [metric.decode(self.task, in_time(part.inputs), part) for part in parts]
        labels = np.concatenate([self.labels_of(part) for part in parts])
        score = metric.score(self.task, np.concatenate(predictions), labels)
        self._evaluations += 1
        self._samples += len(labels)
        if len(labels) == len(self.tune):
            self.last_full = score
            if keep is not None and (self.attempt_score is None or score > self.attempt_score):
                keep(self.out / ATTEMPT)
                self.attempt_score = score
        self._write("running")
        return Evaluation(score, predictions, parts)

    @property
    def seconds(self) -> float:
        """Seconds since the search began."""
        return time.perf_counter() - self._started

    @property
    def kept(self) -> bool:
        """Whether the last full evaluation kept the limit."""
        return self.baseline - self.last_full <= self.task.allowed_drop(self.limit, self.baseline) + 1e-9

    def labels_of(self, samples: Samples) -> NDArray[Any]:
        """The labels of samples, which every task has once fp32 was scored."""
        if samples.labels is None:
            raise ValueError(f"task {self.task.name} has no labels for {self.task.metric}")
        return samples.labels

    def _write(self, status: str, answer: Answer | None = None) -> None:
        own, children = (resource.getrusage(w).ru_maxrss for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        body = {
            "status": status,
            "model": answer.model if answer else None,
            "accepted": answer.accepted if answer else False,
            "notes": answer.notes if answer else "",
            "seconds": self.seconds,
            "accepted_after": answer.accepted_after if answer else None,
            "fp32_seconds": self.fp32_seconds,
            "evaluations": answer.evaluations if answer and answer.evaluations is not None else self._evaluations,
            "samples": answer.samples if answer and answer.samples is not None else self._samples,
            "attempt": ATTEMPT if self.attempt_score is not None else None,
            "peak_rss_mb": round((own + children) / 1024),
            "versions": self._versions,
        }
        path = self.out / OUTCOME
        scratch = path.with_suffix(".part")
        scratch.write_text(json.dumps(body, indent=1) + "\n", encoding="utf-8")
        scratch.replace(path)


def onnx_run(model: bytes | str) -> Run:
    """A runner of an ONNX model in ONNX Runtime, on one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return lambda inputs: session.run(None, inputs)


def main(
    tools: Mapping[str, Callable[[Session], Answer]],
    packages: Sequence[str],
    loaders: Mapping[str, Callable[[str], Run]] | None = None,
) -> None:
    """The command line of a driver: its first argument says which of its tools to run.

    Args:
        tools: Searches by name.
        packages: Packages whose versions are told.
        loaders: From a model file to something that runs, for tools that are not for ONNX Runtime.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("tool", choices=list(tools), help="which of the driver's tools to run")
    parser.add_argument("--task", type=Path, required=True, help="folder of the task")
    parser.add_argument("--limit", type=float, required=True, help="largest loss allowed")
    parser.add_argument("--timeout", type=float, required=True, help="seconds the search may take")
    parser.add_argument("--out", type=Path, required=True, help="folder for what comes out")
    arguments = parser.parse_args()
    load = (loaders or {}).get(arguments.tool, onnx_run)
    float_run = load(str(arguments.task / neutral.MODEL))
    session = Session(arguments.task, arguments.limit, arguments.timeout, arguments.out, float_run)
    session.search(tools[arguments.tool], packages)
