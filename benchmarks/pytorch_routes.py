"""PyTorch models by every route: latency of accepted plans, float rivals and all-int8 bounds, in one process.

``python -m benchmarks.pytorch_routes`` tunes ResNet18, MobileNetV2 (Fashion-MNIST) and MiniLM by each route with a
1 % criterion, for latency at batch 1, and then measures everything side by side at batch 1 and 16, interleaved, one
thread, relative to fp32 eager. ``python -m benchmarks.pytorch_routes resnet18`` does one model.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from autoq.config.loader import load_job
from autoq.config.rules import space
from autoq.config.schema import Job
from autoq.core.adaptor import Candidate, Compilable, RunOptions
from autoq.core.capability import Recipe
from autoq.core.plan import FP32_PLAN, Plan
from autoq.core.trial import Latency
from autoq.data.sources import DataSource
from autoq.evaluation.latency import interleave
from autoq.result import Result
from autoq.run import run_job
from autoq.tuning.assemble import setup_of
from autoq.tuning.outcome import SilentListener
from benchmarks.common import Cell, print_table, write_results
from examples.pytorch.prepare import prepare_example

MODELS = ("resnet18", "mobilenet_v2", "minilm")
ROUTES = ("pytorch_eager", "pytorch_fx", "pytorch_pt2e")
BATCHES = (1, 16)
LIMIT = 0.01
REFERENCE = "fp32 eager"


def job_of(model: str, route: str, workspace: str) -> Job:
    """The example's job by another route, at batch 1, with the 1 % criterion."""
    job = load_job(prepare_example(model) / "job.yaml")
    performance = job.evaluation.performance.model_copy(update={"batch_size": 1, "cores_per_instance": 1})
    criterion = job.tuning.accuracy_criterion.model_copy(update={"relative": LIMIT, "absolute": None})
    return job.model_copy(
        update={
            "model": job.model.model_copy(update={"framework": route}),
            "evaluation": job.evaluation.model_copy(update={"performance": performance}),
            "tuning": job.tuning.model_copy(update={"accuracy_criterion": criterion, "workspace": workspace}),
        }
    )


def deployed(candidate: Candidate) -> Candidate:
    """What runs in production."""
    return candidate.compiled() if isinstance(candidate, Compilable) else candidate


def bounds(table: Any, job_space: Any) -> Iterator[tuple[str, Plan]]:
    """The all-int8 plan, alone and with each recipe, e.g. bf16 in what stays float."""
    full = job_space.full_plan()
    yield "all int8", full
    for recipe in table.recipes:
        yield f"all int8 + {recipe.label}", Plan(full.precisions, (recipe,))


def floats(route: str) -> Iterator[tuple[str, Plan]]:
    """What a user has without quantization; made by one route for all."""
    if route != "pytorch_eager":
        return
    yield REFERENCE, FP32_PLAN
    yield "fp32 compiled", Plan({}, (Recipe("compile"),))
    yield "bf16", Plan({}, (Recipe("bf16"),))
    yield "bf16 compiled", Plan({}, (Recipe("bf16"), Recipe("compile")))


def measure(model: str) -> list[dict[str, Cell]]:
    """Tune by every route, then measure all in one process."""
    candidates: dict[str, Candidate] = {}
    about: dict[str, dict[str, Cell]] = {}
    latency_data: DataSource | None = None
    with tempfile.TemporaryDirectory() as workspace:
        for route in ROUTES:
            job = job_of(model, route, str(Path(workspace) / route))
            started = time.monotonic()
            result = run_job(job, SilentListener())
            spent = time.monotonic() - started
            setup = setup_of(job)
            adaptor, options = setup.adaptor, RunOptions(1)
            loaded = adaptor.load(setup.source)
            table = adaptor.capabilities(loaded)
            data = setup.open_data(loaded.inputs)
            assert data.calibration is not None
            latency_data = latency_data or data.latency
            calibration = adaptor.calibrate(
                loaded, data.calibration.batches(0, setup.sampling_size), adaptor.needs(loaded, table)
            )
            plans = [*floats(route), *((f"{route}, {n}", p) for n, p in bounds(table, space(job, table)))]
            accepted = f"{route}, accepted"
            plans.append((accepted, result.plan))
            about[accepted] = facts(result, spent)
            for name, plan in plans:
                candidates[name] = deployed(adaptor.apply(loaded, plan, calibration, options))
        assert latency_data is not None
        rows = []
        for batch in BATCHES:
            inputs = next(iter(latency_data.batches(0, batch))).inputs
            found = interleave(
                {name: partial(candidate.predict, inputs) for name, candidate in candidates.items()},
                REFERENCE,
                warmup=5,
                rounds=200,
                seconds=60.0,
                precision=0.01,
                confidence=0.95,
                seed=0,
            )
            rows += [row(model, batch, name, latency, about.get(name)) for name, latency in found.items()]
    return rows


def facts(result: Result, seconds: float) -> dict[str, Cell]:
    """What a job came to."""
    held_out = result.outcome.held_out
    return {
        "loss": result.best.scores[0].loss.value if result.best is not None else 0.0,
        "held out": held_out.verdict if held_out is not None else None,
        "trials": len(result.trials) - 1,
        "tuning s": seconds,
        "int8 ops": sum(not p.is_float for p in result.plan.precisions.values()),
        "recipes": " ".join(r.label for r in result.plan.recipes) or None,
    }


def row(model: str, batch: int, name: str, latency: Latency, about: dict[str, Cell] | None) -> dict[str, Cell]:
    """One line of the table."""
    nothing: dict[str, Cell] = dict.fromkeys(("loss", "held out", "trials", "tuning s", "int8 ops", "recipes"))
    return {
        "model": model,
        "batch": batch,
        "what": name,
        "latency / fp32 eager": latency.ratio.value,
        "low": latency.ratio.low,
        "high": latency.ratio.high,
        "ms": 1000 * latency.seconds,
        **(about or nothing),
    }


def main(names: list[str]) -> None:
    """Measure the named models, or all."""
    rows: list[dict[str, Cell]] = []
    for name in names or MODELS:
        rows += measure(name)
        print_table("PyTorch routes", rows)
    print(f"\n{write_results('pytorch_routes', rows, threads=1)}")


if __name__ == "__main__":
    main(sys.argv[1:])
