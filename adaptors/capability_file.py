"""What a runtime offers per op type and version, read from an adaptor's capability.yaml."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from autoq.core.errors import ModelError
from autoq.core.precision import DType, Granularity, Mode, Observer, OpPrecision, Scheme, TensorQuant

Costs = Mapping[tuple[str, str], float | None]
"""Latency relative to fp32 by (op type, precision label); None for a cell that does not run quantized."""


@dataclass(frozen=True)
class Cell:
    """One op type in one precision.

    Attributes:
        precision: The precision.
        cost: Latency of the op alone relative to fp32, where known.
    """

    precision: OpPrecision
    cost: float | None


@dataclass(frozen=True)
class OpSupport:
    """What the table says of one op type.

    Attributes:
        cells: Best first, without fp32.
        inside: The op only pays where one of its operands is quantized already.
        keeps: It can leave its result quantized.
    """

    cells: tuple[Cell, ...]
    inside: bool
    keeps: bool


@dataclass(frozen=True)
class Support:
    """The table's part for one version range.

    Attributes:
        package: The runtime it speaks of.
        versions: The range, for `Capability.origin`.
        ops: By op label.
    """

    package: str
    versions: str
    ops: Mapping[str, OpSupport]


def read_support(path: Path, package: str, version: str) -> Support:
    """What a capability file says of a version of a runtime.

    Raises:
        ModelError: The version is older than all of its ranges.
    """
    for entry in yaml.safe_load(path.read_text(encoding="utf-8")):
        if _numbers(version) >= _numbers(entry[package]):
            ops = {name: _op_support(rule) for name, rule in entry["ops"].items()}
            return Support(package, entry[package], ops)
    raise ModelError(f"{package} {version} is too old", hint=f"pip install --upgrade {package}")


def _op_support(rule: Mapping[str, Any]) -> OpSupport:
    costs = rule.get("cost", {})
    cells: list[Cell] = []
    for mode in (Mode(key) for key in rule if key in (Mode.STATIC, Mode.DYNAMIC)):
        cells += [Cell(_precision(mode, entry), costs.get(mode)) for entry in rule[mode]]
    inside = bool(rule.get("inside", False))
    return OpSupport(tuple(cells), inside, bool(rule.get("keeps", inside)))


def _precision(mode: Mode, entry: str | Sequence[str]) -> OpPrecision:
    granularity, observer, dtype = (*((entry, "minmax") if isinstance(entry, str) else entry), DType.UINT8)[:3]
    weight = None if granularity == "none" else TensorQuant(DType.INT8, Scheme.SYM, Granularity(granularity))
    scheme = Scheme.ASYM if dtype == DType.UINT8 else Scheme.SYM
    activation = TensorQuant(DType(dtype), scheme, Granularity.PER_TENSOR, Observer(observer))
    return OpPrecision(mode, weight, activation)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(n) for n in re.findall(r"\d+", version)[:2])
