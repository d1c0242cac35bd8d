"""The replayable bundle: the job, what was measured, and what came out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from autoq.config.json_schema import job_from_json, job_to_json
from autoq.config.schema import Job
from autoq.core.errors import StoreError
from autoq.core.inquiry import Findings
from autoq.core.plan import FP32_PLAN, Plan
from autoq.core.space import Space
from autoq.core.strategy import Costs
from autoq.core.trial import MetricScore, Trial
from autoq.store.artifacts import atomic_folder
from autoq.tuning.outcome import TuningOutcome

FORMAT = 2


@dataclass(frozen=True)
class Bundle:
    """What a replay starts from and compares with.

    Attributes:
        job: The job.
        evidence: Content address of model, data, metrics and versions.
        fingerprint: Content address of the model.
        environment: Machine and versions.
        space: What was searched.
        costs: Measured seconds per op the strategy was given.
        findings: What it asked to be measured besides plans.
        trials: What every trial measured.
        plan: The plan that was handed over.
        best: Number of its trial; None when the answer was fp32.
        stop_reason: Why the search ended.
        held_out: Scores on held-out samples.
    """

    job: Job
    evidence: str
    fingerprint: str
    environment: Mapping[str, str]
    space: Space
    costs: Costs
    findings: tuple[Findings, ...]
    trials: tuple[Trial, ...]
    plan: Plan
    best: int | None
    stop_reason: str
    held_out: tuple[MetricScore, ...]


def write_bundle(folder: Path, job: Job, outcome: TuningOutcome) -> None:
    """Write a bundle, whole or not at all.

    Raises:
        StoreError: The disk is full or not writable.
    """
    data = {
        "format": FORMAT,
        "job": job_to_json(job),
        "evidence": outcome.description.evidence,
        "fingerprint": outcome.description.fingerprint,
        "environment": dict(outcome.description.environment),
        "space": outcome.space.to_json(),
        "costs": (outcome.costs or Costs()).to_json(),
        "findings": [f.to_json() for f in outcome.findings],
        "trials": [t.to_json() for t in outcome.trials],
        "plan": (outcome.best.plan if outcome.best is not None else FP32_PLAN).to_json(),
        "best": outcome.best.number if outcome.best is not None else None,
        "stop_reason": outcome.stop_reason,
        "held_out": [s.to_json() for s in outcome.held_out.scores] if outcome.held_out is not None else [],
    }
    with atomic_folder(folder) as scratch:
        (scratch / "bundle.json").write_text(json.dumps(data, indent=1))


def read_bundle(path: Path) -> Bundle:
    """Read a bundle folder, or a folder that holds one.

    Raises:
        StoreError: There is none, or it is of another format.
    """
    for candidate in (path / "bundle.json", path / "bundle" / "bundle.json", path):
        if candidate.is_file():
            break
    else:
        raise StoreError("there is no result bundle here", where=str(path), hint="name a job's folder or its bundle")
    try:
        data = json.loads(candidate.read_text())
        if data["format"] != FORMAT:
            raise StoreError(f"the bundle has format {data['format']}, this autoq reads {FORMAT}", where=str(candidate))
        return Bundle(
            job_from_json(data["job"]),
            data["evidence"],
            data["fingerprint"],
            data["environment"],
            Space.from_json(data["space"]),
            Costs.from_json(data["costs"]),
            tuple(Findings.from_json(f) for f in data["findings"]),
            tuple(Trial.from_json(t) for t in data["trials"]),
            Plan.from_json(data["plan"]),
            data["best"],
            data["stop_reason"],
            tuple(MetricScore.from_json(s) for s in data["held_out"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"the bundle cannot be read: {error}", where=str(candidate)) from error
