"""The deployment gate in LiteRT: a file per plan, scored again from disk, from TensorFlow and from LiteRT jobs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_tf
import yaml

from autoq.adaptors.tensorflow_lite.graph import graph_of, parse
from autoq.config.loader import load_job
from autoq.core.deployed import Agreement
from autoq.result import Result
from autoq.run import run_job
from autoq.tuning.outcome import SilentListener


def write_job(folder: Path, framework: str, **deployment: Any) -> Path:
    """A small Keras network with the classes fp32 finds as labels, and a job of one trial: every op in 8 bits."""
    model = small_tf.small_cnn()
    model.save(folder / "net.keras")
    images = small_tf.pictures(96)
    labels = np.asarray(model(images)).argmax(1)
    np.savez(folder / "data.npz", image=images, label=labels)
    dataset = {"npz": {"path": "data.npz", "inputs": ["image"], "labels": "label"}}
    job = {
        "model": {"name": "small_cnn", "framework": framework, "path": "net.keras"},
        "quantization": {"calibration": {"sampling_size": 32}},
        "evaluation": {
            "accuracy": {"metric": "top1", "dataloader": {"batch_size": 16, "dataset": dataset}},
            "performance": {"iterations": 5, "warmup": 1, "batch_size": 1},
        },
        "tuning": {
            "strategy": "basic",
            "accuracy_criterion": {"absolute": 0.3},
            "objective": "size",
            "exit_policy": {"max_trials": 1},
        },
        "runner": {"kind": "in_process"},
        "deployment": {"runtimes": ["litert"], "tolerance": 0.1, **deployment},
    }
    path = folder / "job.yaml"
    path.write_text(yaml.safe_dump(job, sort_keys=False))
    return path


@pytest.fixture(scope="module", params=["tensorflow", "tensorflow_lite"])
def tuned(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Result:
    path = write_job(tmp_path_factory.mktemp(request.param), request.param)
    return run_job(load_job(path), SilentListener())


def test_litert_agrees_with_the_tuned_model(tuned):
    found = tuned.outcome.deployment
    assert not found.failure
    (runtime,) = found.runtimes
    assert (runtime.runtime, runtime.agreement) == ("litert", Agreement.PASSED), runtime
    assert runtime.scores[0].samples == 96
    assert runtime.version


def test_every_op_of_the_plan_runs_in_8_bits_there(tuned):
    (runtime,) = tuned.outcome.deployment.runtimes
    assert runtime.int8_ops == runtime.quantized_ops >= 8


def test_the_file_is_measured_against_the_float_file(tuned):
    (runtime,) = tuned.outcome.deployment.runtimes
    assert runtime.latency.ratio.value > 0
    assert {f.name for f in (tuned.folder / "deployment").iterdir()} == {"quantized.tflite", "fp32.tflite"}
    assert tuned.outcome.deployment.files == ("deployment/quantized.tflite",)


def test_outputs_are_as_near_as_rounding_allows(tuned):
    (runtime,) = tuned.outcome.deployment.runtimes
    assert runtime.sqnr > 20


def test_quantized_weights_leave_no_float_copy(tuned):
    graph = graph_of(parse((tuned.folder / "deployment" / "quantized.tflite").read_bytes()))
    weights = [graph.tensors[node.weight] for node in graph.nodes if node.weight is not None]
    assert len(weights) >= 6
    assert {tensor.type for tensor in weights} == {"int8"}


def test_the_report_names_litert(tuned):
    page = tuned.report().read_text(encoding="utf-8")
    assert "LiteRT agrees with the tuned model within 0.1" in page
    assert "deployment/quantized.tflite" in page
