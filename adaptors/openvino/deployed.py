"""OpenVINO as the place where exported models run: what it executes in 8 bits, and tensors inside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import openvino as ov

from autoq.adaptors.onnxrt.candidate import Source
from autoq.adaptors.onnxrt.deployed import expose
from autoq.adaptors.onnxrt.reading import external_files, read_model
from autoq.adaptors.openvino.candidate import OpenVinoCandidate
from autoq.adaptors.openvino.realized import PRODUCT
from autoq.adaptors.openvino.runtime import CompileSettings
from autoq.core.adaptor import RunOptions
from autoq.core.batch import Array, Inputs
from autoq.core.deployment import Coverage
from autoq.core.plan import FP32_PLAN


def coverage(file: Path, options: RunOptions) -> Coverage:
    """Which nodes of a file run in 8 bits.

    Raises:
        TrialError: OpenVINO cannot load it.
    """
    candidate = OpenVinoCandidate(Source(file, None, file.stat().st_size), FP32_PLAN, CompileSettings(options.threads))
    graph = read_model(file).graph
    # A node whose result leaves the model is called after the result.
    names = {tensor: node.name for node in graph.node for tensor in (*node.output, node.name)}
    origins = (PRODUCT.sub("", name) for node in candidate.executed if node.is_int8 for name in node.origins)
    covered = frozenset(names[origin] for origin in origins if origin in names)
    candidate.close()
    return Coverage(covered, ov.__version__.partition("-")[0])


def run_tensors(file: Path, tensors: Sequence[str], inputs: Inputs, options: RunOptions) -> Mapping[str, Array]:
    """Tensors inside a file for one batch; those it does not have are left out.

    Raises:
        TrialError: OpenVINO failed.
    """
    proto = read_model(file)
    wanted = expose(proto, tensors)
    folder = file.parent if external_files(proto, file.parent) else None
    names = [output.name for output in proto.graph.output]
    source = Source(proto.SerializeToString(), folder, file.stat().st_size)
    candidate = OpenVinoCandidate(source, FP32_PLAN, CompileSettings(options.threads), outputs=names)
    try:
        found = candidate.predict(inputs)
    finally:
        candidate.close()
    return {name: found[name] for name in wanted}
