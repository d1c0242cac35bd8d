"""The example networks in TensorFlow and LiteRT: their jobs, and their plans applied outside of a tuning run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoq.config.loader import job_from_mapping, load_job
from autoq.config.rules import space
from autoq.config.schema import Job
from autoq.core.adaptor import Candidate, RunOptions
from autoq.core.batch import Batch
from autoq.core.plan import Plan
from autoq.core.precision import Observer, OpPrecision
from autoq.core.registry import make_adaptor
from autoq.run import run_job
from autoq.tuning.assemble import model_source
from autoq.tuning.outcome import SilentListener, TuningOutcome
from examples import fashion_mnist
from examples.assets import cache_root
from examples.tensorflow.prepare import job_file, prepare_example
from examples.tensorflow.tasks import TASKS
from examples.tensorflow.train import SAVED_MODEL, exported, folder_of

MODELS = ("resnet18", "mobilenet_v2")
FRAMEWORKS = ("tensorflow", "tensorflow_lite")
LIMIT = 0.003
"""Largest loss of accuracy: three of a thousand answers."""

_CALIBRATION, _BATCH = 128, 32


def job_of(model: str, framework: str) -> Job:
    """The example's job, on all 10,000 test images; its workspace is shared by the benchmarks."""
    prepare_example(model)
    job = load_job(job_file(model if framework == "tensorflow" else f"{model}_litert"))
    accuracy = job.evaluation.accuracy
    assert accuracy is not None
    criterion = job.tuning.accuracy_criterion.model_copy(update={"absolute": LIMIT, "relative": None})
    workspace = str(cache_root() / "benchmarks" / "tensorflow" / f"{model}-{framework}")
    return job.model_copy(
        update={
            "evaluation": job.evaluation.model_copy(update={"accuracy": accuracy.model_copy(update={"held_out": 0.0})}),
            "tuning": job.tuning.model_copy(update={"accuracy_criterion": criterion, "workspace": workspace}),
        }
    )


def tune(model: str, framework: str) -> TuningOutcome:
    """Tune a network, and keep the accepted plan, or that there is none, for the other benchmarks."""
    job = job_of(model, framework)
    outcome = run_job(job, SilentListener()).outcome
    plan = outcome.best.plan.to_json() if outcome.best is not None else None
    _kept(job).write_text(json.dumps(plan, indent=1) + "\n", encoding="utf-8")
    return outcome


def accepted_plan(model: str, framework: str) -> Plan | None:
    """The plan that tuning accepted; tuned now unless it was before."""
    kept = _kept(job_of(model, framework))
    if not kept.is_file():
        tune(model, framework)
    plan = json.loads(kept.read_text(encoding="utf-8"))
    return None if plan is None else Plan.from_json(plan)


def _kept(job: Job) -> Path:
    return Path(job.tuning.workspace) / "accepted.json"


def saved_model(model: str, side: int, folder: Path) -> Path:
    """SavedModel folder of a trained network for pictures of any side, with the weights of its own side."""
    if side == TASKS[model].side:
        return folder_of(model) / SAVED_MODEL
    return exported(model, side, folder / f"{model}-{side}")


def bench_of(model: str, framework: str, side: int, exported_to: Path) -> Bench:
    """A network in an adaptor: of its own side out of the file its job reads, so that plans name the same ops."""
    if side == TASKS[model].side:
        job = job_of(model, framework)
        return Bench(framework, job.resolve(str(job.model.path)), side)
    return Bench(framework, exported_to, side)


def pictures(side: int, count: int) -> NDArray[np.float32]:
    """The first training pictures."""
    return fashion_mnist.channels_last(fashion_mnist.read("train").pixels[:count], side)


def batches(images: NDArray[np.float32], size: int = _BATCH) -> list[Batch]:
    """Pictures in batches, without labels."""
    parts = [images[start : start + size] for start in range(0, len(images), size)]
    return [Batch({"image": part}, None, len(part)) for part in parts]


@dataclass(frozen=True, eq=False)
class Bench:
    """One network loaded by one adaptor.

    Attributes:
        framework: The adaptor's name.
        path: File or folder of the network.
        side: Side of the pictures.
    """

    framework: str
    path: Path
    side: int

    @cached_property
    def adaptor(self) -> Any:
        """The adaptor."""
        return make_adaptor(self.framework)

    @cached_property
    def job(self) -> Job:
        """A job that narrows nothing."""
        return job_from_mapping({"model": {"framework": self.framework, "path": str(self.path)}}, self.path.parent)

    @cached_property
    def model(self) -> Any:
        """The loaded model."""
        return self.adaptor.load(model_source(self.job))

    @cached_property
    def table(self) -> Any:
        """What it can do."""
        return self.adaptor.capabilities(self.model)

    @property
    def calibration_data(self) -> Sequence[Batch]:
        """128 training pictures."""
        return batches(pictures(self.side, _CALIBRATION))

    @cached_property
    def calibration(self) -> Any:
        """Statistics, collected once."""
        return self.adaptor.calibrate(self.model, self.calibration_data, self.adaptor.needs(self.model, self.table))

    @cached_property
    def all_int8(self) -> Plan:
        """Every op in its fastest static precision."""
        return space(self.job, self.table).full_plan()

    def observed_by(self, observer: Observer) -> Plan:
        """Every op in 8 bits, ranges of activations chosen by an observer where the op has it."""
        precisions = {}
        for row in self.table:
            usual = self.all_int8[row.op.id]
            wanted = [p for p in row.precisions if usual.activation and p == _with(usual, observer)]
            precisions[row.op.id] = wanted[0] if wanted else usual
        return Plan(precisions)

    def apply(self, plan: Plan) -> Candidate:
        """The plan on one thread."""
        candidate: Candidate = self.adaptor.apply(self.model, plan, self.calibration, RunOptions(1))
        return candidate


def _with(precision: OpPrecision, observer: Observer) -> OpPrecision:
    assert precision.activation is not None
    return replace(precision, activation=replace(precision.activation, observer=observer))
