"""autoq through its public API, strategy ``auto``: for ONNX Runtime, or for OpenVINO."""

from __future__ import annotations

import shutil
from functools import partial
from typing import Any

import autoq
from benchmarks.peers.drivers import openvino_run
from benchmarks.peers.drivers.session import Answer, Session, main
from benchmarks.peers.neutral import LABELS

_METRICS = {"character_accuracy": "character_error_rate"}
_STEPS = {"argmax": (), "pair_cosine": ("mean_pooling", "pair_cosine"), "ctc_greedy": ("ctc_greedy",)}
_SEARCH = 0.8
"""Share of the time limit for the search; finalists, held-out verdict and report come after it."""
_FILES = {"onnxrt_qdq": ("model.onnx",), "openvino": ("model.xml", "model.bin")}


def job(session: Session, framework: str) -> dict[str, Any]:
    """The task as a job."""
    task = session.task
    steps: list[Any] = list(_STEPS[task.decode])
    if task.decode == "ctc_greedy":
        steps = [{"name": "ctc_greedy", "arguments": {"charset": list(task.alphabet), "blank": 0}}]
    accuracy = {
        "metric": _METRICS.get(task.metric, task.metric),
        "postprocess": steps,
        "dataloader": _loader(session, "tune", labels=task.metric != "agreement"),
        "held_out": _loader(session, "held_out", labels=task.metric != "agreement"),
    }
    static_only = framework == "openvino" or task.approach == "static"
    return {
        "model": {"name": task.name, "framework": framework, "path": str(session.model)},
        "quantization": {
            "approach": f"post_training_{'static' if static_only else 'auto'}_quant",
            "calibration": {
                "sampling_size": len(session.calibration),
                "dataloader": _loader(session, "calibration", labels=False),
            },
        },
        "evaluation": {
            "accuracy": accuracy,
            "performance": {"cores_per_instance": 1, "batch_size": task.latency_batch},
        },
        "tuning": {
            "strategy": "auto",
            "accuracy_criterion": {task.tolerance: session.limit},
            "exit_policy": {"timeout": _SEARCH * session.timeout},
            "random_seed": 0,
            "workspace": str(session.out / "workspace"),
        },
    }


def tune(session: Session, framework: str) -> Answer:
    """`autoq.fit` in a workspace of its own, held-out verdict and report included."""
    result = autoq.fit(None, job(session, framework))
    saved = result.save(session.out / "saved")
    for name in _FILES[framework]:
        if (saved / name).exists():
            shutil.copy(saved / name, session.out / name)
    trials = result.trials
    held_out = result.outcome.held_out
    # fp32 and the chosen model are scored on the held-out split, too.
    beyond = 2 * held_out.scores[0].samples if held_out is not None else 0
    return Answer(
        _FILES[framework][0] if result.accepted else None,
        result.accepted,
        evaluations=len(trials),
        samples=sum(trial.samples for trial in trials) + beyond,
        notes=f"{result.outcome.explanation} Search ended: {result.outcome.stop_reason}.",
        accepted_after=result.outcome.accepted_after,
    )


def _loader(session: Session, name: str, *, labels: bool) -> dict[str, Any]:
    task = session.task
    arrays: dict[str, Any] = {"path": str(session.folder / f"{name}.npz"), "inputs": list(task.inputs)}
    if labels:
        arrays["labels"] = LABELS
    size = 8 if name == "calibration" else task.batch_size
    return {"dataset": {"npz": arrays}, "batch_size": size, "rows_per_sample": task.rows_per_sample}


if __name__ == "__main__":
    main(
        {name: partial(tune, framework=name) for name in _FILES},
        ("autoq", "onnxruntime", "openvino", "onnx", "numpy"),
        {"openvino": openvino_run.load},
    )
