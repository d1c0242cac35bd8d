"""The capability table of a model: what the version offers, narrowed by the graph."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
import yaml

from autoq.adaptors.pytorch.checks import require_quantizable
from autoq.adaptors.pytorch.floats import float_recipes
from autoq.adaptors.pytorch.model import TorchModel
from autoq.adaptors.pytorch_fx.graph import FxGraph, FxOp
from autoq.adaptors.pytorch_fx.kinds import ATTENTION
from autoq.core.capability import Capability, CapabilityTable, Op
from autoq.core.errors import ModelError
from autoq.core.precision import FP32, DType, Granularity, Mode, Observer, OpPrecision, Scheme, TensorQuant

_DTYPE = {Scheme.ASYM: DType.UINT8, Scheme.SYM: DType.INT8}


@dataclass(frozen=True)
class OpSupport:
    """What the table says of one op type.

    Attributes:
        precisions: Best first, without fp32.
        inside: Only next to an op with a weight, and only in convolutional models.
        note: Why there are no precisions.
    """

    precisions: tuple[OpPrecision, ...]
    inside: bool = False
    note: str = ""


@dataclass(frozen=True)
class Support:
    """The table's part for one version range.

    Attributes:
        versions: The range, for `Capability.origin`.
        ops: By op type.
    """

    versions: str
    ops: Mapping[str, OpSupport]


@cache
def support(version: str = str(torch.__version__)) -> Support:
    """What capability.yaml says of a version of PyTorch.

    Raises:
        ModelError: The version is older than all of its ranges.
    """
    entries = yaml.safe_load(Path(__file__).with_name("capability.yaml").read_text(encoding="utf-8"))
    for entry in entries:
        if _numbers(version) >= _numbers(entry["torch"]):
            return Support(entry["torch"], {name: _op_support(rule) for name, rule in entry["ops"].items()})
    raise ModelError(f"torch {version} is too old", hint="pip install 'autoq[pytorch]'")


def capability_table(model: TorchModel, graph: FxGraph) -> CapabilityTable:
    """One row per op of the graph; ops that only run in float have their reason as a note.

    Raises:
        ModelError: Nothing can be quantized.
    """
    offered = support()
    transformer = any(op.type in ATTENTION for op in graph.ops)
    rows = [_row(op, offered, transformer) for op in graph.ops]
    weighted = sum(
        len(row.precisions) > 1 and not offered.ops[row.op.type].inside for row in rows if row.op.type in offered.ops
    )
    require_quantizable(weighted, model.module, "pytorch_fx")
    return CapabilityTable(tuple(rows), graph.edges, float_recipes=float_recipes(model))


def _row(op: FxOp, offered: Support, transformer: bool) -> Capability:
    found = offered.ops.get(op.type, OpSupport((), note="FX has no int8 form of it"))
    note = op.note or found.note
    if not note and found.inside and transformer:
        note = "kept in float: in a transformer, int8 costs more accuracy here than it saves time"
    precisions = () if note else found.precisions
    origin = f"capability.yaml pytorch_fx {offered.versions}"
    if len(op.members) > 1 and precisions:
        note = f"called {len(op.members)} times, each with its own ranges"
    return Capability(Op(op.id, op.type), (*precisions, FP32), origin=origin, note=note)


def _op_support(rule: Mapping[str, Any]) -> OpSupport:
    static = [_static(*entry) for entry in rule.get("static", ())]
    dynamic = [_dynamic(granularity) for granularity in rule.get("dynamic", ())]
    return OpSupport((*static, *dynamic), bool(rule.get("inside")), str(rule.get("float", "")))


def _static(weight: str, observer: str, scheme: str) -> OpPrecision:
    kind = Scheme(scheme)
    activation = TensorQuant(_DTYPE[kind], kind, observer=Observer(observer))
    return OpPrecision(Mode.STATIC, None if weight == "none" else _weight(weight), activation)


def _dynamic(weight: str) -> OpPrecision:
    return OpPrecision(Mode.DYNAMIC, _weight(weight), TensorQuant(DType.UINT8, Scheme.ASYM))


def _weight(granularity: str) -> TensorQuant:
    return TensorQuant(DType.INT8, Scheme.SYM, Granularity(granularity))


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2])


def observers_of(rows: Iterable[Capability]) -> frozenset[Observer]:
    """Which observers static precisions of these rows use."""
    precisions = [p for row in rows for p in row.precisions if p.mode is Mode.STATIC]
    return frozenset(p.activation.observer for p in precisions if p.activation is not None)
