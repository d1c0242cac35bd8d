"""Does OpenVINO compute what ONNX Runtime computes? Now and then it does not, mostly with control flow."""

from __future__ import annotations

import re

import numpy as np

from autoq.adaptors.onnxrt.candidate import OnnxCandidate, Source
from autoq.adaptors.onnxrt.model import OnnxModel
from autoq.adaptors.openvino.candidate import OpenVinoCandidate
from autoq.adaptors.openvino.runtime import CompileSettings
from autoq.core.adaptor import RunOptions
from autoq.core.batch import Array, Inputs
from autoq.core.errors import ModelError
from autoq.core.plan import FP32_PLAN

_LARGEST_ERROR = 0.1
"""Root mean square of the difference, relative to that of the output; two runtimes in float32 reach 1e-5."""


# Their results jump where their inputs differ by rounding, or are random.
_UNSTABLE = re.compile(r"NonMaxSuppression|TopK|NonZero|Unique|ArgM(ax|in)|Random\w*|Multinomial|Bernoulli")


def is_comparable(model: OnnxModel) -> bool:
    """Whether two runtimes that differ by rounding give nearly the same outputs."""
    return not any(_UNSTABLE.fullmatch(node.op_type) for node in model.graph.nodes)


def check_agreement(model: OnnxModel, inputs: Inputs) -> None:
    """Compare one batch of the fp32 model on both runtimes.

    Raises:
        ModelError: Outputs differ by more than rounding.
        DataError: The batch does not fit the model.
    """
    source = Source(model.original, model.original_folder, model.size_bytes)
    outputs = [spec.name for spec in model.outputs]
    theirs = OpenVinoCandidate(source, FP32_PLAN, CompileSettings(), model.inputs, outputs)
    ours = OnnxCandidate(source, FP32_PLAN, None, RunOptions())
    try:
        found, expected = theirs.predict(inputs), ours.predict(inputs)
    finally:
        theirs.close()
        ours.close()
    wrong = next((name for name in expected if not _agree(expected[name], found[name])), None)
    if wrong is not None:
        raise ModelError(
            f"OpenVINO computes something else than ONNX Runtime for output '{wrong}', in float32 already",
            where=wrong,
            hint="export the model in another way, without control flow (If, Loop, Scan) and with a newer opset, "
            "or tune it for framework onnxrt_qdq",
        )


def _agree(expected: Array, found: Array) -> bool:
    if expected.dtype.kind != "f":
        return True
    if expected.shape != found.shape:
        return False
    want, have = expected.astype(np.float64), found.astype(np.float64)
    usable = np.isfinite(want)
    error = np.sqrt(np.square(np.where(usable, want - have, 0.0)).mean()) if want.size else 0.0
    size = np.sqrt(np.square(np.where(usable, want, 0.0)).mean()) if want.size else 0.0
    return bool(error <= _LARGEST_ERROR * size + 1e-6)
