"""Jobs over toy models, for tests of tuner and runners."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from autoq.config.loader import job_from_mapping
from autoq.config.schema import Job
from autoq.testing.toy import ToyModel, ToyOp


def toy_chain(noises: tuple[float, ...] = (3.0, 2.0, 0.01, 0.01, 0.01, 1.5, 0.01, 0.01), **faults: str) -> ToyModel:
    """Ops ``op0 ...``; a fault is given by op name."""
    return ToyModel(tuple(ToyOp(f"op{i}", noise=n, fault=faults.get(f"op{i}")) for i, n in enumerate(noises)))


def write_job(folder: Path, model: ToyModel, **changes: Any) -> Job:
    """A job over `model` with 200 samples: 120 to tune on, 80 held out. A sample bears a noise of 0.1 to 1.1."""
    folder.mkdir(parents=True, exist_ok=True)
    model.save(folder / "toy.json")
    margins = np.linspace(0.1, 1.1, 200, dtype=np.float32).reshape(-1, 1)
    np.random.default_rng(0).shuffle(margins)
    np.savez(folder / "data.npz", margin=margins, label=np.zeros(200, np.int64))
    loader = {"batch_size": 10, "dataset": {"npz": {"path": "data.npz", "inputs": ["margin"], "labels": "label"}}}
    data: dict[str, Any] = {
        "model": {"name": "toy", "framework": "toy", "path": "toy.json"},
        "quantization": {"calibration": {"sampling_size": 20}},
        "evaluation": {
            "accuracy": {"metric": "top1", "dataloader": loader, "held_out": 0.4},
            "performance": {"iterations": 5, "warmup": 0},
        },
        "tuning": {
            "strategy": {"name": "basic"},
            "accuracy_criterion": {"relative": 0.01},
            "workspace": "workspace",
            "exit_policy": {"max_trials": 100},
        },
        "runner": {"kind": "in_process"},
    }
    for path, value in changes.items():
        section = data
        *parents, last = path.split("__")
        for part in parents:
            section = section.setdefault(part, {})
        section[last] = value
    return job_from_mapping(data, folder)
