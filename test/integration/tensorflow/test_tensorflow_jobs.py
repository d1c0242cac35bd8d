"""Whole jobs on TensorFlow, from Python with tf.data and from a file with a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import command
import numpy as np
import small_tf
import yaml
from tf_plans import prepared

import autoq
from autoq.adaptors.tensorflow.runtime import tf

_LOADS_SAVED_MODEL = """
import sys
import numpy as np
from autoq.adaptors.tensorflow.runtime import tf
folder, inputs, outputs = sys.argv[1:]
run = tf.saved_model.load(folder).signatures["serving_default"]
np.save(outputs, run(image=tf.constant(np.load(inputs)))["scores"].numpy())
"""

_BESIDE_OTHERS = """
import sys
import numpy as np
import torch
from autoq.core.adaptor import ModelSource, RunOptions
from autoq.core.plan import FP32_PLAN
from autoq.core.registry import make_adaptor
adaptor = make_adaptor("tensorflow")
model = adaptor.load(ModelSource(sys.argv[1]))
outputs = adaptor.apply(model, FP32_PLAN, None, RunOptions(1)).predict(np.ones((2, 16), np.float32))
import onnxruntime
print(outputs["scores"].shape)
"""


def _job(workspace: Path, **model: Any) -> dict[str, Any]:
    return {
        "model": {"framework": "tensorflow", **model},
        "quantization": {"approach": "post_training_static_quant", "calibration": {"sampling_size": 16}},
        "evaluation": {
            "accuracy": {"metric": "top1"},
            "performance": {"iterations": 5, "warmup": 1, "cores_per_instance": 1},
        },
        "tuning": {
            "accuracy_criterion": {"absolute": 0.2},
            "objective": "size",
            "exit_policy": {"max_trials": 2},
            "workspace": str(workspace),
        },
    }


def _labelled(samples: int = 32) -> tuple[Any, Any]:
    """Pictures, and what fp32 says of them."""
    pictures = small_tf.pictures(samples)
    return pictures, prepared(small_tf.small_cnn).keras(pictures).numpy().argmax(1)


def test_fit_a_keras_model_with_tf_data(tmp_path: Path) -> None:
    """The result is a function, and a SavedModel with the model's own signature that answers the same elsewhere."""
    pictures, labels = _labelled()
    calibration = tf.data.Dataset.from_tensor_slices(pictures).batch(8)
    evaluation = tf.data.Dataset.from_tensor_slices((pictures, labels)).batch(8)
    model = prepared(small_tf.small_cnn).keras
    result = autoq.fit(model, _job(tmp_path / "work"), calibration, eval_dataloader=evaluation)
    assert result.accepted
    held = result.model(image=tf.constant(pictures[:3]))["scores"].numpy()
    folder = result.save(tmp_path / "out")
    np.testing.assert_allclose(autoq.load(folder).predict(pictures[:3])["scores"], held, rtol=0, atol=1e-5)
    np.save(tmp_path / "inputs.npy", pictures[:3])
    subprocess.run(
        [sys.executable, "-c", _LOADS_SAVED_MODEL, folder, tmp_path / "inputs.npy", tmp_path / "outputs.npy"],
        env=command.environment(),
        check=True,
        timeout=240,
    )
    np.testing.assert_allclose(np.load(tmp_path / "outputs.npy"), held, rtol=0, atol=1e-5)


def test_a_job_file_in_a_process_of_its_own(tmp_path: Path) -> None:
    """A .keras file, quantized and smaller; nothing of TensorFlow's log reaches the user."""
    pictures, labels = _labelled()
    np.savez(tmp_path / "data.npz", image=pictures, label=labels)
    prepared(small_tf.small_cnn).keras.save(tmp_path / "model.keras")
    job = _job(tmp_path / "work", path="model.keras")
    dataset = {"npz": {"path": "data.npz", "labels": "label"}}
    job["evaluation"]["accuracy"]["dataloader"] = {"batch_size": 8, "dataset": dataset}
    job["runner"] = {"kind": "subprocess"}
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(job))
    done = command.autoq("tune", "job.yaml", cwd=tmp_path, timeout=400)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "smaller" in done.stdout
    assert not done.stderr
    for noise in ("oneDNN custom operations", "cuda", "absl::", "Warning"):
        assert noise not in said
    assert next(tmp_path.glob("work/jobs/*/model/saved_model.pb")).stat().st_size > 0


def test_other_frameworks_live_in_the_same_process(tmp_path: Path) -> None:
    """One imported before, one after TensorFlow ran."""
    prepared(small_tf.small_mlp).keras.save(tmp_path / "model.keras")
    done = subprocess.run(
        [sys.executable, "-c", _BESIDE_OTHERS, tmp_path / "model.keras"],
        env={**command.environment(), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "(2, 5)\n"
