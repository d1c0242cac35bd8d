"""Running models in OpenVINO."""

from __future__ import annotations

from typing import Any

import openvino

from benchmarks.peers.metric import Run
from benchmarks.peers.neutral import Arrays


def compiled_run(compiled: Any) -> Run:
    """A runner of a compiled model."""
    request = compiled.create_infer_request()

    def run(inputs: Arrays) -> list[Any]:
        found = request.infer(inputs)
        return [found[output] for output in compiled.outputs]

    return run


def load(path: str) -> Run:
    """A runner of a model file, on one thread."""
    core = openvino.Core()
    return compiled_run(core.compile_model(path, "CPU", {"INFERENCE_NUM_THREADS": 1}))
