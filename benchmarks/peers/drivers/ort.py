"""ONNX Runtime's own quantizers with their defaults: one call, no tuning, no promise."""

from __future__ import annotations

from typing import Any

from onnxruntime.quantization import CalibrationDataReader, quantize_dynamic, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from benchmarks.peers.drivers.session import Answer, Session, main


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, session: Session) -> None:
        self._batches = session.calibration.batches(8)

    def get_next(self) -> Any:
        batch = next(self._batches, None)
        return None if batch is None else batch.inputs


def _prepared(session: Session) -> str:
    path = str(session.out / "prepared.onnx")
    try:
        quant_pre_process(str(session.model), path)
    except Exception as error:  # noqa: BLE001
        # Symbolic shape inference does not know every model, and says so with a bare Exception; the guide's advice then
        # is to leave it out.
        print(f"symbolic shape inference: {error}")
        quant_pre_process(str(session.model), path, skip_symbolic_shape=True)
    return path


def static(session: Session) -> Answer:
    """`quantize_static` after the pre-processing its guide asks for."""
    quantize_static(_prepared(session), str(session.out / "model.onnx"), _Reader(session))
    return Answer("model.onnx", accepted=None)


def dynamic(session: Session) -> Answer:
    """`quantize_dynamic`, likewise."""
    quantize_dynamic(_prepared(session), str(session.out / "model.onnx"))
    return Answer("model.onnx", accepted=None)


if __name__ == "__main__":
    main({"static": static, "dynamic": dynamic}, ("onnxruntime", "onnx", "numpy"))
