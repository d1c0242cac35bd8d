"""Accuracy before and after: fp32, int8, and deployed in ONNX Runtime and OpenVINO, on 10,000 test images.

``python -m benchmarks.pytorch_accuracy`` tunes the Fashion-MNIST networks by each route with at most .3 points of
loss on the whole test set, and scores the exported model again where it will run.
``python -m benchmarks.pytorch_accuracy resnet18@pytorch_fx`` does one.
"""

from __future__ import annotations

import sys
import tempfile
import time

from autoq.config.deployment_schema import DeploymentSection
from autoq.config.loader import load_job
from autoq.config.schema import Job
from autoq.run import run_job
from autoq.tuning.outcome import SilentListener
from benchmarks.common import Cell, print_table, write_results
from examples.pytorch.prepare import prepare_example

MODELS = ("resnet18", "mobilenet_v2")
ROUTES = ("pytorch_eager", "pytorch_fx", "pytorch_pt2e")
LIMIT = 0.003


def job_of(model: str, route: str, workspace: str) -> Job:
    """The example's job by a route, on all test images, with the deployment gate."""
    job = load_job(prepare_example(model) / "job.yaml")
    accuracy = job.evaluation.accuracy
    assert accuracy is not None
    criterion = job.tuning.accuracy_criterion.model_copy(update={"absolute": LIMIT, "relative": None})
    return job.model_copy(
        update={
            "model": job.model.model_copy(update={"framework": route}),
            "evaluation": job.evaluation.model_copy(update={"accuracy": accuracy.model_copy(update={"held_out": 0.0})}),
            "tuning": job.tuning.model_copy(update={"accuracy_criterion": criterion, "workspace": workspace}),
            "deployment": DeploymentSection(),
        }
    )


def row(model: str, route: str) -> dict[str, Cell]:
    """Tune, deploy, and what came of it."""
    with tempfile.TemporaryDirectory() as workspace:
        started = time.monotonic()
        outcome = run_job(job_of(model, route, workspace), SilentListener()).outcome
        best = outcome.best
        shown = best or outcome.attempt
        found: dict[str, Cell] = {
            "model": model,
            "route": route,
            "accepted": outcome.accepted,
            "fp32": 100 * outcome.baseline.scores[0].value,
            "int8": 100 * shown.scores[0].value if shown is not None else None,
            "int8 ops": sum(not p.is_float for p in shown.plan.precisions.values()) if shown is not None else 0,
            "latency / fp32": shown.latency.ratio.value if shown is not None and shown.latency is not None else None,
        }
        for result in outcome.deployment.runtimes if outcome.deployment is not None else ():
            score = result.scores[0] if result.scores else None
            found |= {
                result.runtime: 100 * score.deployed if score is not None else None,
                f"{result.runtime} − int8": -100 * score.difference.value if score is not None else None,
                f"{result.runtime} low": -100 * score.difference.high if score is not None else None,
                f"{result.runtime} high": -100 * score.difference.low if score is not None else None,
                f"{result.runtime} int8 ops": f"{result.int8_ops}/{result.quantized_ops}",
            }
        return found | {"seconds": time.monotonic() - started}


def main(names: list[str]) -> None:
    """Run the named ``model@route``, or all."""
    rows = []
    for name in names or [f"{m}@{r}" for m in MODELS for r in ROUTES]:
        model, _, route = name.partition("@")
        rows.append(row(model, route))
        print_table("Fashion-MNIST, top-1 % on 10,000 test images", rows)
    print(f"\n{write_results('pytorch_accuracy', rows, threads=1)}")


if __name__ == "__main__":
    main(sys.argv[1:])
