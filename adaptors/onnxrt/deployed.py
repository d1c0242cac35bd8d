"""ONNX Runtime as the place where exported models run: what it executes in 8 bits, and tensors inside."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnx import ModelProto, helper

from autoq.adaptors.onnxrt.reading import read_model
from autoq.adaptors.onnxrt.session import SessionSettings, make_session, reason, specs
from autoq.core.adaptor import RunOptions
from autoq.core.batch import Array, Inputs
from autoq.core.deployment import Coverage
from autoq.core.errors import TrialError
from autoq.core.feeding import feed

_INT8 = re.compile(r"QLinear\w+|QGemm|MatMulIntegerToFloat|DynamicQuantizeMatMul|ConvInteger|MatMulInteger")
_MARKS = re.compile(r"(_token_\d+|_nchwc|_nhwc|/duplicated)+$")


def coverage(file: Path, options: RunOptions) -> Coverage:
    """Which nodes of a file run in 8 bits.

    Raises:
        TrialError: ONNX Runtime cannot load it.
    """
    with tempfile.TemporaryDirectory(prefix="autoq-onnx-") as scratch:
        optimized = Path(scratch) / "optimized.onnx"
        settings = SessionSettings(threads=options.threads, optimized=optimized, weights="optimized.data")
        try:
            make_session(file, settings)
        except Exception as error:
            raise TrialError(f"ONNX Runtime cannot load the exported model: {reason(error)}") from error
        found = onnx.load(optimized, load_external_data=False)
    source = read_model(file)
    names = {node.name for node in source.graph.node}
    by_tensor = {tensor: node.name for node in source.graph.node for tensor in node.output}
    covered: set[str] = set()
    for node in found.graph.node:
        if not _INT8.fullmatch(node.op_type):
            continue
        candidates = (node.name, _MARKS.sub("", node.name), *(by_tensor.get(t, "") for t in node.output))
        covered.update(name for name in candidates if name in names)
    return Coverage(frozenset(covered), ort.__version__)


def run_tensors(
    file: Path, tensors: Sequence[str], inputs: Inputs, options: RunOptions, *, optimize: bool = True
) -> Mapping[str, Array]:
    """Tensors inside a file for one batch.

    Args:
        file: The model.
        tensors: Their names; those it does not have are left out.
        inputs: One batch.
        options: How it runs.
        optimize: False computes what the graph says, node by node, with no 8-bit kernel.

    Raises:
        TrialError: ONNX Runtime failed.
    """
    proto = read_model(file)
    wanted = expose(proto, tensors)
    settings = SessionSettings(threads=options.threads, optimize=optimize, folder=file.parent)
    if not optimize:
        settings = SessionSettings(threads=options.threads, plain=True, folder=file.parent)
    try:
        session = make_session(proto.SerializeToString(), settings)
        results = session.run(wanted, dict(feed(inputs, specs(session.get_inputs()))))
    except Exception as error:
        raise TrialError(f"ONNX Runtime failed: {reason(error)}") from error
    return {name: np.asarray(array) for name, array in zip(wanted, results, strict=True)}


def expose(proto: ModelProto, tensors: Sequence[str]) -> list[str]:
    """Make tensors outputs of a model; returns those it has."""
    made = {name for node in proto.graph.node for name in node.output}
    wanted = [name for name in dict.fromkeys(tensors) if name in made]
    outputs = {o.name for o in proto.graph.output}
    known = {v.name: v for v in proto.graph.value_info}
    for name in wanted:
        if name not in outputs:
            proto.graph.output.append(known.get(name) or helper.make_empty_tensor_value_info(name))
    return wanted
