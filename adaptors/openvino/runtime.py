"""How every OpenVINO model of this adaptor is read and compiled, and how its errors read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from openvino import properties
from openvino.properties import hint

from autoq.core.batch import TensorSpec
from autoq.core.errors import ModelError

DEVICE = "CPU"

_DTYPES = {
    "f32": "float32",
    "f64": "float64",
    "f16": "float16",
    "i8": "int8",
    "u8": "uint8",
    "i16": "int16",
    "u16": "uint16",
    "i32": "int32",
    "u32": "uint32",
    "i64": "int64",
    "u64": "uint64",
    "boolean": "bool",
}


@dataclass(frozen=True)
class CompileSettings:
    """What differs between the models we compile.

    Attributes:
        threads: Threads of one inference; None for OpenVINO's default.
        bf16: Run what is not quantized in bfloat16, where the processor can; otherwise all of it is real float32.
        counters: Measure the time of every node.
    """

    threads: int | None = None
    bf16: bool = False
    counters: bool = False


@cache
def core() -> ov.Core:
    """The one runtime of this process."""
    return ov.Core()


@cache
def has_bf16() -> bool:
    """Whether the processor computes in bfloat16."""
    return "BF16" in core().get_property(DEVICE, "OPTIMIZATION_CAPABILITIES")


def read_model(model: bytes | Path) -> ov.Model:
    """A model from its bytes or its file. Raises whatever OpenVINO raises; see `reason`."""
    return core().read_model(model if isinstance(model, bytes) else str(model))


def compile_model(model: ov.Model, settings: CompileSettings) -> ov.CompiledModel:
    """A model ready to run one inference at a time. Raises whatever OpenVINO raises; see `reason`."""
    options: dict[Any, Any] = {
        hint.performance_mode(): hint.PerformanceMode.LATENCY,
        hint.inference_precision(): ov.Type.bf16 if settings.bf16 else ov.Type.f32,
        # A pinned thread would share its core with the pinned threads of every other process.
        hint.enable_cpu_pinning(): False,
        properties.num_streams(): 1,
        properties.enable_profiling(): settings.counters,
    }
    if settings.threads is not None:
        options[properties.inference_num_threads()] = settings.threads
    return core().compile_model(model, DEVICE, options)


def reason(error: BaseException) -> str:
    """OpenVINO's message without its source positions."""
    lines = [re.sub(r"^(Exception from|Check ')\S*.*?(failed at|\.cpp:\d+:)\s*\S*", "", line) for line in _told(error)]
    return " ".join(" ".join(lines).split())[:600] or type(error).__name__


def specs(ports: Sequence[Any]) -> tuple[TensorSpec, ...]:
    """Inputs or outputs of a model.

    Raises:
        ModelError: One of them is not a tensor of a type NumPy has.
    """
    found = []
    for port in ports:
        name, kind = names_of(port)[0], port.get_element_type().get_type_name()
        if kind not in _DTYPES:
            raise ModelError(f"'{name}' is a tensor of {kind}, and only types that NumPy has can be fed or scored")
        found.append(TensorSpec(name, np.dtype(_DTYPES[kind]).name, _shape(port.get_partial_shape())))
    return tuple(found)


def names_of(port: Any) -> tuple[str, ...]:
    """All names of an input or output; that of its node where it has none of its own."""
    return tuple(sorted(port.get_names())) or (str(port.get_node().get_friendly_name()),)


def _told(error: BaseException) -> list[str]:
    noise = re.compile(r"^\s*(Exception from \S+|.*\.cpp:\d+:?)\s*$")
    return [line for line in str(error).splitlines() if line.strip() and not noise.match(line)]


def _shape(shape: ov.PartialShape) -> tuple[int | None, ...] | None:
    if shape.rank.is_dynamic:
        return None
    return tuple(d.get_length() if d.is_static else None for d in shape)
