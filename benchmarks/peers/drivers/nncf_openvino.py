"""NNCF's accuracy control on the same model in OpenVINO, scored there."""

from __future__ import annotations

from typing import Any

import openvino

from benchmarks.peers.drivers import nncf_search
from benchmarks.peers.drivers.session import Answer, Session, main
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


def tune(session: Session) -> Answer:
    """Quantize, and revert until the limit is kept."""
    model = openvino.convert_model(str(session.model))
    # The validation function is handed compiled models, which cannot be saved.
    found = nncf_search.quantize(session, model, compiled_run, lambda _: None, intermediate=session.out)
    openvino.save_model(found, str(session.out / "model.xml"), compress_to_fp16=False)
    return Answer("model.xml", session.kept)


if __name__ == "__main__":
    main({"accuracy-control": tune}, ("nncf", "openvino", "onnx", "numpy"), load)
