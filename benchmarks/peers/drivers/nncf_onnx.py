"""NNCF's accuracy control on the ONNX model, scored in ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx

from benchmarks.peers.drivers import nncf_search
from benchmarks.peers.drivers.session import Answer, Session, main, onnx_run


def tune(session: Session) -> Answer:
    """Quantize, and revert until the limit is kept."""

    def keep(model: Any) -> Callable[[Path], object] | None:
        quantized = any(node.op_type == "QuantizeLinear" for node in model.graph.node)
        return (lambda path: onnx.save(model, str(path))) if quantized else None

    found = nncf_search.quantize(
        session, onnx.load(str(session.model)), lambda model: onnx_run(model.SerializeToString()), keep
    )
    onnx.save(found, str(session.out / "model.onnx"))
    return Answer("model.onnx", session.kept)


if __name__ == "__main__":
    main({"accuracy-control": tune}, ("nncf", "onnxruntime", "onnx", "numpy"))
