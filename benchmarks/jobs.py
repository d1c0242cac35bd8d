"""Whole tuning jobs on real models: what they cost, in fp32 evaluations, and what comes out.

``python -m benchmarks.jobs`` runs all of them, one after another, each in a fresh workspace;
``python -m benchmarks.jobs efficientnet-lite0@0.05`` one. Names are ``model@limit``.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from autoq.config.loader import load_job
from autoq.config.schema import Job
from autoq.result import Result
from autoq.run import run_job
from autoq.tuning.outcome import SilentListener
from benchmarks.common import Cell, prepared, print_table, write_results

JOBS = ("efficientnet-lite0@0.05", "efficientnet-lite0@0.01", "minilm@0.01", "ppocr-cls@0.01", "ppocr-rec@0.01")


def limited(job: Job, limit: float, workspace: Path) -> Job:
    """The job with another limit, in the tolerance it has, and another workspace."""
    criterion = job.tuning.accuracy_criterion
    kind = "absolute" if criterion.absolute is not None else "relative"
    criterion = criterion.model_copy(update={kind: limit})
    tuning = job.tuning.model_copy(update={"accuracy_criterion": criterion, "workspace": str(workspace)})
    return job.model_copy(update={"tuning": tuning})


def row(name: str, result: Result, seconds: float, score_seconds: float) -> dict[str, Cell]:
    """One line of the table."""
    outcome, best = result.outcome, result.best
    shown = best or outcome.attempt
    held_out = outcome.held_out
    latency = shown.latency if shown is not None else None
    return {
        "job": name,
        "accepted": result.accepted,
        "loss": shown.scores[0].loss.value if shown is not None else None,
        "held-out loss": held_out.scores[0].loss.value if held_out is not None else None,
        "held out": held_out.verdict if held_out is not None else None,
        "latency / fp32": latency.ratio.value if latency is not None else None,
        "low": latency.ratio.low if latency is not None else None,
        "high": latency.ratio.high if latency is not None else None,
        "trials": len(outcome.trials) - 1,
        "seconds": seconds,
        "in fp32 evaluations": seconds / score_seconds,
        "calibration s": outcome.seconds.get("calibrate"),
    }


def main(names: list[str]) -> None:
    """Run the named jobs, or all."""
    rows: list[dict[str, Cell]] = []
    for name in names or JOBS:
        model, _, limit = name.partition("@")
        with tempfile.TemporaryDirectory() as workspace:
            job = limited(load_job(prepared(model) / "job.yaml"), float(limit), Path(workspace))
            started = time.monotonic()
            result = run_job(job, SilentListener())
            spent = time.monotonic() - started
            rows.append(row(name, result, spent, result.outcome.baseline.seconds["evaluate"]))
        print_table("Tuning jobs", rows)
    print(f"\n{write_results('jobs', rows, threads=1)}")


if __name__ == "__main__":
    main(sys.argv[1:])
