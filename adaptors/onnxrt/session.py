"""How every ONNX Runtime session of this adaptor is made, and how its errors read."""

from __future__ import annotations

import ctypes
import re
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from autoq.core.batch import TensorSpec
from autoq.core.errors import ModelError

_DTYPES = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(float16)": "float16",
    "tensor(int8)": "int8",
    "tensor(uint8)": "uint8",
    "tensor(int16)": "int16",
    "tensor(uint16)": "uint16",
    "tensor(int32)": "int32",
    "tensor(uint32)": "uint32",
    "tensor(int64)": "int64",
    "tensor(uint64)": "uint64",
    "tensor(bool)": "bool",
    "tensor(string)": "object",
}

# Fuses MatMul + Add into Gemm, with reshapes where needed: it hides the MatMul that dynamic quantization replaces.
MATMUL_ADD_FUSION = "MatMulAddFusion"


@dataclass(frozen=True)
class SessionSettings:
    """What differs between the sessions we make.

    Attributes:
        threads: Intra-op threads; None for ONNX Runtime's default.
        optimize: False stops after the basic, hardware-independent optimizations.
        plain: Leave the graph as it is, node by node.
        optimized: Where to write the optimized graph.
        weights: Name of a file beside `optimized` that takes its large weights.
        folder: Where external data of a model given as bytes lie.
        profile: File prefix of the profiler's trace.
        disabled: Names of optimizers to leave out.
        arena: False returns memory to the system after each run, at some cost in speed.
        shapes_first: Run Shape nodes as soon as they can run, so that what they measure is freed early.
        simulated: Compute in float between Dequantize and Quantize nodes, where 8-bit kernels would join them.
    """

    threads: int | None = None
    optimize: bool = True
    plain: bool = False
    optimized: Path | None = None
    weights: str | None = None
    folder: Path | None = None
    profile: Path | None = None
    disabled: tuple[str, ...] = ()
    arena: bool = True
    shapes_first: bool = False
    simulated: bool = False


def make_session(model: bytes | Path, settings: SessionSettings = SessionSettings()) -> ort.InferenceSession:
    """A CPU session. Raises whatever ONNX Runtime raises; see `reason`."""
    ort.set_default_logger_severity(4)
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.inter_op_num_threads = 1
    options.intra_op_num_threads = settings.threads or 0
    options.enable_cpu_mem_arena = settings.arena
    if settings.shapes_first:
        options.execution_order = ort.ExecutionOrder.PRIORITY_BASED
    level = ort.GraphOptimizationLevel
    options.graph_optimization_level = level.ORT_ENABLE_ALL if settings.optimize else level.ORT_ENABLE_BASIC
    if settings.plain:
        options.graph_optimization_level = level.ORT_DISABLE_ALL
    if settings.simulated:
        options.add_session_config_entry("session.disable_quant_qdq", "1")
    if settings.optimized is not None:
        options.optimized_model_filepath = str(settings.optimized)
    if settings.weights is not None:
        options.add_session_config_entry("session.optimized_model_external_initializers_file_name", settings.weights)
        options.add_session_config_entry("session.optimized_model_external_initializers_min_size_in_bytes", "1024")
    if settings.folder is not None:
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(settings.folder))
    if settings.profile is not None:
        options.enable_profiling = True
        options.profile_file_prefix = str(settings.profile)
    source = model if isinstance(model, bytes) else str(model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ort.InferenceSession(
            source,
            options,
            providers=["CPUExecutionProvider"],
            disabled_optimizers=list(settings.disabled) or None,
            # There is no other provider to fall back to, and trying prints to standard output.
            enable_fallback=0,
        )


def return_free_memory() -> None:
    """Give freed memory back to the system, where the C library can (glibc).

    Tensors of changing sizes leave gaps in the heap, which would grow from batch to batch.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


def reason(error: BaseException) -> str:
    """ONNX Runtime's message without its error codes and source positions."""
    text = re.sub(r"^\[ONNXRuntimeError\] : \d+ : [A-Z_]+ : ", "", str(error))
    text = re.sub(r"/\S+\.(?:cc|h):\d+ [^\n]*?(?=\S+ was false|Error|error|[A-Z])", "", text)
    return " ".join(text.split())[:600] or type(error).__name__


def specs(arguments: Sequence[Any]) -> tuple[TensorSpec, ...]:
    """Inputs or outputs of a session.

    Raises:
        ModelError: One of them is not a tensor of a type NumPy has.
    """
    found = []
    for argument in arguments:
        if argument.type not in _DTYPES:
            raise ModelError(
                f"'{argument.name}' is a {argument.type}, and only tensors of NumPy types can be fed or scored",
                hint="choose other inputs or outputs with model.inputs and model.outputs",
            )
        # Some exporters call every axis of unknown size '?': that names no axis.
        shape = tuple(s if isinstance(s, int) or (s and s.strip("?")) else None for s in argument.shape)
        found.append(TensorSpec(argument.name, np.dtype(_DTYPES[argument.type]).name, shape))
    return tuple(found)
