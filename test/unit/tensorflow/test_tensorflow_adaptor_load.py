"""Loading through the adaptor: content addresses, and a TensorFlow without oneDNN."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import command
import pytest
import small_tf
from tf_plans import ADAPTOR

from autoq.adaptors.tensorflow import adaptor
from autoq.core.adaptor import ModelSource
from autoq.core.errors import UnsupportedError


def test_the_fingerprint_is_of_the_content(tmp_path: Path) -> None:
    """Equal for the object and its file, whatever was loaded before; another for other weights."""
    model = small_tf.small_mlp(seed=1)
    model.save(tmp_path / "model.keras")
    own = ADAPTOR.load(ModelSource(model)).fingerprint
    assert ADAPTOR.load(ModelSource(small_tf.small_mlp(seed=2))).fingerprint != own
    again = ADAPTOR.load(ModelSource(tmp_path / "model.keras"))
    assert again.fingerprint == own
    assert [op.id for op in again.fusion.ops] == ["hidden1/MatMul", "hidden2/MatMul", "scores/MatMul"]


def test_tensorflow_without_onednn_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    usability = ADAPTOR.usability()
    assert not usability.usable
    assert any("TF_ENABLE_ONEDNN_OPTS" in note for note in usability.notes)
    with pytest.raises(UnsupportedError, match="switches oneDNN off"):
        ADAPTOR.load(ModelSource(small_tf.small_mlp()))


def test_threads_that_cannot_be_changed_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """TensorFlow that ran before autoq used it has the threads it began with."""
    monkeypatch.setattr(adaptor, "SETTABLE_THREADS", False)
    model = ADAPTOR.load(ModelSource(small_tf.small_mlp()))
    assert any("TF_OVERRIDE_GLOBAL_THREADPOOL=1" in note for note in model.notes)


_AUTOQ_FIRST = """
import autoq
import tensorflow as tf
tf.constant(1) + 1
from autoq.adaptors.tensorflow.runtime import SETTABLE_THREADS
print(SETTABLE_THREADS)
"""


def test_threads_can_be_changed_where_autoq_is_imported_before_tensorflow_runs() -> None:
    names = ("TF_OVERRIDE_GLOBAL_THREADPOOL", "TF_CPP_MIN_LOG_LEVEL")
    fresh = {name: value for name, value in command.environment().items() if name not in names}
    done = subprocess.run([sys.executable, "-c", _AUTOQ_FIRST], env=fresh, capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"
