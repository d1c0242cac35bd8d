"""autoq gets every task as an ordinary job."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from autoq.config.loader import job_from_mapping
from benchmarks.peers import neutral
from benchmarks.peers.drivers.autoq_fit import job
from benchmarks.peers.drivers.session import Session
from benchmarks.peers.neutral import Arrays, Task

_TASKS = {
    "classes": Task("t", ("x",), "accuracy"),
    "agreement": Task("t", ("x",), "agreement"),
    "pairs": Task("t", ("x", "attention_mask"), "spearman", "pair_cosine", rows_per_sample=2, approach="auto"),
    "texts": Task("t", ("x",), "character_accuracy", "ctc_greedy", alphabet=("", "a"), tolerance="absolute"),
}


def _session(folder: Path, task: Task) -> Session:
    rng = np.random.default_rng(0)
    inputs: Arrays = {"x": rng.normal(size=(8, 5, 2)), "attention_mask": np.ones((8, 5))}
    samples = 8 // task.rows_per_sample
    labels = {"spearman": np.arange(samples), "character_accuracy": np.array(["a"] * samples)}
    for name in neutral.SETS:
        neutral.write_samples(folder, name, inputs, labels.get(task.metric, np.zeros((samples, 5))))
    neutral.write_task(folder, task)
    return Session(folder, 0.05, 100.0, folder, lambda batch: [batch["x"]])


@pytest.mark.parametrize("framework", ["onnxrt_qdq", "openvino"])
@pytest.mark.parametrize("task", _TASKS.values(), ids=list(_TASKS))
def test_the_job_is_valid_and_keeps_the_limit_of_the_task(tmp_path: Path, task: Task, framework: str) -> None:
    made = job_from_mapping(job(_session(tmp_path, task), framework), tmp_path)
    criterion = made.tuning.accuracy_criterion
    assert (criterion.relative, criterion.absolute) == ((None, 0.05) if task.tolerance == "absolute" else (0.05, None))


def test_the_whole_job_fits_into_the_time_limit(tmp_path: Path) -> None:
    made = job_from_mapping(job(_session(tmp_path, _TASKS["classes"]), "onnxrt_qdq"), tmp_path)
    assert made.tuning.exit_policy.timeout is not None
    assert made.tuning.exit_policy.timeout < 100.0
