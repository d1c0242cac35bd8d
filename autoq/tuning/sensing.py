"""Services to strategies: what quantizing single units does, measured once and kept by content."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autoq.core.adaptor import Adaptor, Candidate, Curvature, LocalErrors, RunOptions
from autoq.core.batch import Batch
from autoq.core.digest import digest_of
from autoq.core.errors import AutoqError
from autoq.core.inquiry import Need
from autoq.core.plan import FP32_PLAN, Plan
from autoq.core.runner import ProgressListener
from autoq.core.statistics import Calibration
from autoq.core.task import Progress, Sense, Sensed
from autoq.data.source import DataSource
from autoq.evaluation.divergence import Reference
from autoq.store.artifacts import write_text_atomic

SENSING = 1
"""Version of the way units are measured; raise it whenever the same model and data would give other values."""

_KEEP_EVERY = 5.0
"""Seconds after which what was measured so far is written down."""

_LEAST_SAMPLES = 4
_DRAWS = 8


@dataclass(frozen=True)
class Lab:
    """What sensing needs of a workbench.

    Attributes:
        adaptor: The backend.
        model: The fp32 model.
        calibration: Its statistics; None where nothing static is tuned.
        build: Makes a candidate.
        source: Samples to measure with.
        options: How inference runs.
        seed: Of random directions.
        cache: Folder of what was measured before.
        identity: Everything values depend on besides the task.
    """

    adaptor: Adaptor[Any]
    model: Any
    calibration: Calibration | None
    build: Callable[[Plan], Candidate]
    source: DataSource
    options: RunOptions
    seed: int
    cache: Path
    identity: str


def sense(lab: Lab, task: Sense, progress: ProgressListener) -> Sensed:
    """Measure, or read what was measured before; what was reached when a process died is not measured again."""
    digest = digest_of([SENSING, lab.identity, str(task.need), task.plan.to_json(), _units(task), task.samples])
    kept = _Kept(lab.cache / f"sensed-{digest}.json")
    if not kept.complete:
        match task.need:
            case Need.SENSITIVITY:
                return _sensitivity(lab, task, kept, progress)
            case Need.LOCAL_ERROR:
                return _of_ops(lab, task, kept, progress, _local_errors)
            case Need.CURVATURE:
                return _of_ops(lab, task, kept, progress, _curvature)
    return Sensed(kept.values, "")


def _units(task: Sense) -> list[list[Any]]:
    return sorted([unit, list(ops)] for unit, ops in task.units.items())


def _sensitivity(lab: Lab, task: Sense, kept: _Kept, progress: ProgressListener) -> Sensed:
    """Divergence of the final output with one unit quantized at a time."""
    started = time.monotonic()
    fp32 = lab.build(FP32_PLAN)
    try:
        reference = Reference(fp32.predict, lab.source.batches(0, task.samples), task.samples)
    finally:
        fp32.close()
    missing = [unit for unit in task.units if unit not in kept.values]
    failed = ""
    for unit in missing:
        progress(Progress(str(task.need), len(kept.values), len(task.units)))
        if time.monotonic() - started > task.seconds:
            break
        plan = Plan({op: task.plan[op] for op in task.units[unit]})
        try:
            candidate = lab.build(plan)
            try:
                value = reference.divergence(candidate.predict, lab.source.batches(0, task.samples))
            finally:
                candidate.close()
        except AutoqError as error:
            failed = f"{unit}: {error.message}"
            continue
        if value is None:
            return Sensed({}, "the model's outputs cannot be compared: their shapes depend on the precision")
        kept.values[unit] = value
        kept.write_now_and_then()
    left = len(task.units) - len(kept.values)
    kept.write(complete=not left)
    progress(Progress(str(task.need), len(kept.values), len(task.units)))
    if not left:
        return Sensed(kept.values, "")
    why = f"the last failure: {failed}" if failed else f"the {task.seconds:.0f} seconds for it were used up"
    return Sensed(kept.values, f"{left} of {len(task.units)} ops were not measured: {why}")


def _of_ops(
    lab: Lab,
    task: Sense,
    kept: _Kept,
    progress: ProgressListener,
    measure: Callable[[Lab, Plan, Iterable[Batch]], Mapping[str, float] | None],
) -> Sensed:
    """What the adaptor measures for all ops at once, summed over the ops of each unit."""

    def batches() -> Iterable[Batch]:
        done = 0
        for batch in lab.source.batches(0, task.samples):
            progress(Progress(str(task.need), done, task.samples))
            yield batch
            done += batch.samples

    values = measure(lab, task.plan, batches())
    if values is None:
        return Sensed({}, f"this framework does not measure {task.need.replace('_', ' ')}")
    for unit, ops in task.units.items():
        measured = [values[op] for op in ops if op in values]
        if measured:
            kept.values[unit] = float(sum(measured))
    kept.write(complete=True)
    return Sensed(kept.values, "")


def _local_errors(lab: Lab, plan: Plan, batches: Iterable[Batch]) -> Mapping[str, float] | None:
    if not isinstance(lab.adaptor, LocalErrors):
        return None
    return lab.adaptor.local_errors(lab.model, plan, lab.calibration, batches, lab.options)


def _curvature(lab: Lab, plan: Plan, batches: Iterable[Batch]) -> Mapping[str, float] | None:
    if not isinstance(lab.adaptor, Curvature):
        return None
    return lab.adaptor.curvature(lab.model, plan, batches, seed=lab.seed, draws=_DRAWS, options=lab.options)


class _Kept:
    """Values in a file that appears whole or not at all; a damaged one is measured again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._written = time.monotonic()
        self.values: dict[str, float] = {}
        self.complete = False
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            data = json.loads(path.read_text())
            self.values = {str(k): float(v) for k, v in data["values"].items()}
            self.complete = bool(data["complete"])

    def write_now_and_then(self) -> None:
        if time.monotonic() - self._written > _KEEP_EVERY:
            self.write(complete=False)

    def write(self, *, complete: bool) -> None:
        self._written = time.monotonic()
        self.complete = complete
        write_text_atomic(self._path, json.dumps({"values": self.values, "complete": complete}))
