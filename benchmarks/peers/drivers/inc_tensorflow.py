"""Intel Neural Compressor 3.10 for TensorFlow: quantizes a SavedModel folder; runs in an environment of its own.

python inc_tensorflow.py SAVED_MODEL CALIBRATION.npz BATCH OUT

Writes ``OUT/frozen.pb`` and ``OUT/answer.json``. Settings are its
defaults (static, int8, minmax) but for weights quantized per channel, which is more accurate.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


class _Loader:
    """The loader it asks for: batches of inputs and a label it does not use."""

    def __init__(self, array: Any, batch: int) -> None:
        self._array, self.batch_size = array, batch

    def __len__(self) -> int:
        return -(-len(self._array) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Any, int]]:
        for start in range(0, len(self._array), self.batch_size):
            yield self._array[start : start + self.batch_size], 0


def main(saved_model: Path, calibration: Path, batch: int, out: Path) -> None:
    """Quantize, keep the graph and what it took."""
    import numpy as np
    import tensorflow as tf
    from neural_compressor.tensorflow import (  # type: ignore[import-not-found]
        Model,
        StaticQuantConfig,
        quantize_model,
    )

    with np.load(calibration) as stored:
        array = stored[stored.files[0]]
    started = time.perf_counter()
    found = quantize_model(
        Model(str(saved_model)),
        StaticQuantConfig(weight_granularity="per_channel"),
        _Loader(array, batch),
        len(array) // batch,
    )
    seconds = time.perf_counter() - started
    graph = found.graph_def
    (out / "frozen.pb").write_bytes(graph.SerializeToString())
    answer = {
        "seconds": seconds,
        "inputs": list(found.input_tensor_names),
        "outputs": list(found.output_tensor_names),
        "int8": sum("Quantized" in node.op for node in graph.node),
        "versions": {name: version(name) for name in ("neural-compressor-tf", "tensorflow")},
        "eager": tf.executing_eagerly(),
    }
    (out / "answer.json").write_text(json.dumps(answer, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
