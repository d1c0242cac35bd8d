"""Intel Neural Compressor 2.6: its tuning loop with one of its strategies, stopping at the first accepted model.

Settings are its defaults with three exceptions, each in its favour or needed: QDQ instead of QOperator nodes (which
fail on MiniLM with a type error of its own), level 1, so that the strategy asked for is the one that runs, and no
limit on the number of trials. The approach is its default, static; on MiniLM that gave a faster model than dynamic or
auto.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.peers.drivers.session import Answer, Session, main, onnx_run
from benchmarks.peers.neutral import Arrays, Samples

_QUANTIZED = {"QuantizeLinear", "DynamicQuantizeLinear"}
_MANY = 100_000
_BATCH = 8


class _Calibration:
    """The loader it asks for: batches of inputs and a label it does not use."""

    batch_size = _BATCH

    def __init__(self, samples: Samples) -> None:
        self._samples = samples

    def __iter__(self) -> Iterator[tuple[Arrays, int]]:
        for batch in self._samples.batches(_BATCH):
            yield batch.inputs, 0


class _Troubles(logging.Handler):
    """Keeps the exceptions that the tool catches and only logs."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if message.startswith("Unexpected exception"):
            self.found.append(message)


def tune(session: Session, strategy: str) -> Answer:
    """`neural_compressor.quantization.fit` with the task's criterion."""
    from neural_compressor import quantization  # type: ignore[import-not-found]
    from neural_compressor.config import (  # type: ignore[import-not-found]
        AccuracyCriterion,
        PostTrainingQuantConfig,
        TuningCriterion,
    )

    def evaluate(model: Any) -> float:
        proto = getattr(model, "model", model)
        quantized = any(node.op_type in _QUANTIZED for node in proto.graph.node)
        data = proto.SerializeToString()

        def keep(path: Path) -> None:
            path.write_bytes(data)

        return session.evaluate(onnx_run(data), keep=keep if quantized else None).score

    conf = PostTrainingQuantConfig(
        approach="static",
        quant_format="QDQ",
        calibration_sampling_size=[len(session.calibration) * session.task.rows_per_sample],
        # Level 1 is the strategy that is asked for; the default level tries another one before it.
        quant_level=1,
        # Without a time limit of its own it stops at the first model it accepts; the session ends it otherwise.
        tuning_criterion=TuningCriterion(strategy=strategy, timeout=0, max_trials=_MANY),
        accuracy_criterion=AccuracyCriterion(criterion=session.task.tolerance, tolerable_loss=session.limit),
    )
    troubles = _Troubles()
    logging.getLogger("neural_compressor").addHandler(troubles)
    found = quantization.fit(
        str(session.model), conf, calib_dataloader=_Calibration(session.calibration), eval_func=evaluate
    )
    if found is None and troubles.found and session.seconds < session.timeout:
        raise RuntimeError(troubles.found[0])
    if found is None:
        return Answer(None, accepted=False)
    found.save(str(session.out / "model.onnx"))
    return Answer("model.onnx", accepted=True)


if __name__ == "__main__":
    main(
        {name: partial(tune, strategy=name) for name in ("basic", "bayesian", "mse_v2")},
        ("neural-compressor", "onnxruntime", "onnx", "numpy"),
    )
