"""What LiteRT can run each operator in: the quantizer's own policy, as precisions, with measured costs."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml
from ai_edge_quantizer import default_policy

from autoq.core.precision import DType, Granularity, Mode, Observer, OpPrecision, Scheme, TensorQuant

FP16 = OpPrecision(Mode.FP16)
"""Weights stored as float16, arithmetic in float32."""

_OBSERVERS = (Observer.MINMAX, Observer.PERCENTILE, Observer.KL, Observer.MSE)
_CASTS = ("FULLY_CONNECTED", "CONV_2D", "DEPTHWISE_CONV_2D", "CONV_2D_TRANSPOSE", "EMBEDDING_LOOKUP")

BLOCK = 32
"""Elements that share a scale where weights are quantized in groups."""


@dataclass(frozen=True)
class OpSupport:
    """What the policy says of one operator.

    Attributes:
        precisions: With a constant weight where it has one; best first, without float32.
        inner: Of those, what it can run in without a constant weight, e.g. the product of two activations.
    """

    precisions: tuple[OpPrecision, ...]
    inner: tuple[OpPrecision, ...]


@dataclass(frozen=True)
class Support:
    """What the installed quantizer and runtime offer.

    Attributes:
        version: Of the quantizer, for `Capability.origin`.
        ops: By operator name.
        costs: Latency relative to float32 by operator and kernel (see `kernel`), as measured for this package.
    """

    version: str
    ops: Mapping[str, OpSupport]
    costs: Mapping[tuple[str, str], float]


def kernel(precision: OpPrecision) -> str:
    """What decides an op's kernel: ``static int8 per_channel int8``; how ranges are chosen does not."""
    parts = [str(precision.mode)]
    parts += [str(quant.dtype) for quant in (precision.weight, precision.activation) if quant is not None]
    if precision.weight is not None:
        parts.append(str(precision.weight.granularity))
    return " ".join(parts)


@cache
def support() -> Support:
    """What the installed packages offer."""
    listed: Mapping[str, Sequence[str]] = json.loads(default_policy.DEFAULT_JSON_POLICY)["ops_per_config"]
    types = dict.fromkeys(name for names in listed.values() for name in names if name not in ("INPUT", "OUTPUT"))
    ops = {name: _op_support(name, listed) for name in types}
    costs: dict[tuple[str, str], float] = {}
    entries: Mapping[str, Mapping[str, float]] = yaml.safe_load(
        Path(__file__).with_name("capability.yaml").read_text(encoding="utf-8")
    )
    for name, measured in entries.items():
        costs |= {(name, cell): float(cost) for cell, cost in measured.items()}
    return Support(importlib.metadata.version("ai-edge-quantizer"), ops, costs)


def _op_support(name: str, listed: Mapping[str, Sequence[str]]) -> OpSupport:
    def has(config: str) -> bool:
        return name in listed.get(config, ())

    int8, int16 = _activation(DType.INT8), _activation(DType.INT16)
    weighted = has("weightonly_wi8_afp32")
    found: list[OpPrecision] = []
    inner: list[OpPrecision] = []
    if has("static_wi8_ai8"):
        inner.append(OpPrecision(Mode.STATIC, None, int8))
        found += [
            OpPrecision(Mode.STATIC, _weight(DType.INT8), _activation(DType.INT8, observer)) for observer in _OBSERVERS
        ]
    if has("dynamic_wi8_afp32"):
        found.append(OpPrecision(Mode.DYNAMIC, _weight(DType.INT8), int8))
    if has("static_wi8_ai8"):
        found.append(OpPrecision(Mode.STATIC, _weight(DType.INT8, Granularity.PER_TENSOR), int8))
    if has("static_wi4_ai8"):
        found.append(OpPrecision(Mode.STATIC, _weight(DType.INT4), int8))
    if has("dynamic_wi4_afp32"):
        found.append(OpPrecision(Mode.DYNAMIC, _weight(DType.INT4), int8))
    if has("dynamic_wi4_afp32_blockwise"):
        found.append(OpPrecision(Mode.DYNAMIC, _weight(DType.INT4, Granularity.PER_GROUP), int8))
    if has("weightonly_wi8_afp32"):
        found.append(OpPrecision(Mode.WEIGHT_ONLY, _weight(DType.INT8)))
    if has("weightonly_wi4_afp32"):
        found.append(OpPrecision(Mode.WEIGHT_ONLY, _weight(DType.INT4)))
    if has("static_wi8_ai16"):
        inner.append(OpPrecision(Mode.STATIC, None, int16))
        found.append(OpPrecision(Mode.STATIC, _weight(DType.INT8), int16))
    if name in _CASTS:
        found.append(FP16)
    return OpSupport(tuple(found) if weighted else tuple(inner), tuple(inner))


def _activation(dtype: DType, observer: Observer = Observer.MINMAX) -> TensorQuant:
    scheme = Scheme.SYM if dtype is DType.INT16 else Scheme.ASYM
    return TensorQuant(dtype, scheme, Granularity.PER_TENSOR, observer)


def _weight(dtype: DType, granularity: Granularity = Granularity.PER_CHANNEL) -> TensorQuant:
    size = BLOCK if granularity is Granularity.PER_GROUP else None
    return TensorQuant(dtype, Scheme.SYM, granularity, Observer.MINMAX, size)
