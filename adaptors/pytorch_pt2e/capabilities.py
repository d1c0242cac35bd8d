"""The capability table of a model: what the version offers, narrowed by the graph."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
import yaml

from autoq.adaptors.pytorch.checks import require_quantizable
from autoq.adaptors.pytorch_pt2e.model import Pt2eModel
from autoq.adaptors.pytorch_pt2e.ops import GraphOp, Ops
from autoq.adaptors.pytorch_pt2e.recipes import FLOAT_RECIPES, quantized_recipes
from autoq.core.capability import Capability, CapabilityTable, Op
from autoq.core.errors import ModelError
from autoq.core.precision import FP32, DType, Granularity, Mode, Observer, OpPrecision, Scheme, TensorQuant

_DTYPE = {Scheme.ASYM: DType.UINT8, Scheme.SYM: DType.INT8}


@dataclass(frozen=True)
class OpSupport:
    """What the table says of one op type.

    Attributes:
        precisions: Best first, without fp32.
        inside: Only where all operands are left in 8 bits by other ops.
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


def capability_table(model: Pt2eModel) -> CapabilityTable:
    """One row per op of the graph; ops that only run in float have their reason as a note.

    Raises:
        ModelError: Nothing can be quantized.
    """
    offered = support()
    inside = _inside(model.ops, offered)
    rows = [_row(op, offered, op.id in inside) for op in model.ops.ops]
    weighted = sum(len(row.precisions) > 1 and not offered.ops[row.op.type].inside for row in rows)
    require_quantizable(weighted, model.torch.module, "pytorch_pt2e")
    return CapabilityTable(tuple(rows), model.ops.edges, quantized_recipes(), FLOAT_RECIPES)


def _row(op: GraphOp, offered: Support, possible: bool) -> Capability:
    found = offered.ops.get(op.type, OpSupport((), note="the compiler has no int8 form of it"))
    note = op.reason or found.note
    if not note and found.inside and not possible:
        note = "some of what it reads is never left in 8 bits"
    precisions = () if note else found.precisions
    origin = f"capability.yaml pytorch_pt2e, torch {offered.versions}"
    return Capability(Op(op.id, op.type), (*precisions, FP32), origin=origin, note=note)


def _inside(ops: Ops, offered: Support) -> frozenset[str]:
    """Ops that can read what others leave in 8 bits."""
    left, found = set[str](), set[str]()
    for op in ops.ops:
        entry = offered.ops.get(op.type)
        if entry is None or op.reason or not entry.precisions:
            continue
        if not entry.inside or all(ops.source(name) in left for name in op.operands):
            found.add(op.id)
            left.add(op.id)
    return frozenset(found)


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
