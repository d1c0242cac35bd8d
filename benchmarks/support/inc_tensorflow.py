"""Graphs that Intel Neural Compressor made, run in this process by the same TensorFlow as autoq's."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoq.adaptors.tensorflow.runtime import tf
from autoq.adaptors.tensorflow.session import GraphSession, SessionSettings
from benchmarks.peers.problem import PeerError
from benchmarks.peers.virtualenvs import REPOSITORY, Environment

ENVIRONMENT = Environment("inc_tensorflow")
_DRIVER = REPOSITORY / "benchmarks" / "peers" / "drivers" / "inc_tensorflow.py"
_BATCH = 32


@dataclass(frozen=True, eq=False)
class Quantized:
    """What it made.

    Attributes:
        graph: ``tf.compat.v1.GraphDef``.
        seconds: That quantizing took, calibration included.
        int8_nodes: Nodes with 8-bit kernels.
        inputs: Tensors to feed.
        outputs: Tensors to fetch.
        version: Of its package.
    """

    graph: Any
    seconds: float
    int8_nodes: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    version: str


def quantize(saved_model: Path, images: NDArray[np.float32], folder: Path) -> Quantized:
    """Quantize a SavedModel in its own environment, on one thread.

    Args:
        saved_model: The folder.
        images: To calibrate on.
        folder: Where it may write.

    Raises:
        PeerError: Its environment could not be made, or it failed; the message ends with what it said.
    """
    folder, saved_model = folder.resolve(), saved_model.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "calibration.npz", image=images)
    command = [ENVIRONMENT.interpreter(), _DRIVER, saved_model, folder / "calibration.npz", _BATCH, folder]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}
    # In that folder it leaves its logs.
    done = subprocess.run(
        [str(part) for part in command], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise PeerError("\n  ".join(["INC could not quantize", *done.stderr.strip().splitlines()[-5:]]))
    answer = json.loads((folder / "answer.json").read_text(encoding="utf-8"))
    graph = tf.compat.v1.GraphDef.FromString((folder / "frozen.pb").read_bytes())
    tensors = (tuple(_tensor(name) for name in answer[key]) for key in ("inputs", "outputs"))
    return Quantized(
        graph, answer["seconds"], answer["int8"], *tensors, version=answer["versions"]["neural-compressor-tf"]
    )


class Runner:
    """Such a graph on one thread, in a session like those of autoq's candidates."""

    def __init__(self, quantized: Quantized) -> None:
        self._session = GraphSession(quantized.graph, quantized.inputs, quantized.outputs, SessionSettings(threads=1))

    def run(self, images: NDArray[np.float32]) -> NDArray[Any]:
        """Scores of a batch."""
        scores: NDArray[Any] = self._session.run([images])[0]
        return scores


def _tensor(name: str) -> str:
    return name if ":" in name else f"{name}:0"
