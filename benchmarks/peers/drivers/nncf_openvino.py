"""NNCF's accuracy control on the same model in OpenVINO, scored there."""

from __future__ import annotations

import openvino

from benchmarks.peers.drivers import nncf_search
from benchmarks.peers.drivers.openvino_run import compiled_run, load
from benchmarks.peers.drivers.session import Answer, Session, main


def tune(session: Session) -> Answer:
    """Quantize, and revert until the limit is kept."""
    model = openvino.convert_model(str(session.model))
    # The validation function is handed compiled models, which cannot be saved.
    found = nncf_search.quantize(session, model, compiled_run, lambda _: None, intermediate=session.out)
    openvino.save_model(found, str(session.out / "model.xml"), compress_to_fp16=False)
    return Answer("model.xml", session.kept)


if __name__ == "__main__":
    main({"accuracy-control": tune}, ("nncf", "openvino", "onnx", "numpy"), {"accuracy-control": load})
