"""The capability table of a model: what the version offers, narrowed by the model and by what was probed here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import onnxruntime as ort
import yaml

from autoq.adaptors.onnxrt.fusion import FusedOp, Fusion, passes_through
from autoq.core.capability import Capability, CapabilityTable, Op
from autoq.core.errors import ModelError
from autoq.core.precision import FP32, DType, Granularity, Mode, Observer, OpPrecision, Scheme, TensorQuant

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


@cache
def support(version: str = ort.__version__) -> Support:
    """What capability.yaml says of a version of ONNX Runtime.

    Raises:
        ModelError: The version is older than all of its ranges.
    """
    return read_support(Path(__file__).with_name("capability.yaml"), "onnxruntime", version)


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


def capability_table(
    fusion: Fusion, modes: Iterable[Mode], probed: Costs, notes: Sequence[str] = (), known: Support | None = None
) -> CapabilityTable:
    """The table of one model.

    Args:
        fusion: Its quantizable ops.
        modes: What the format can hold.
        probed: What was measured on this machine; empty when nothing was.
        notes: Of the model, for the error when no op is left.
        known: What the runtime offers; ONNX Runtime's by default.

    Raises:
        ModelError: No op can be quantized; says why.
    """
    offered, known = frozenset(modes), known or support()
    inside = _inside(fusion, known)
    rows = [_row(op, known, offered, op.id in inside, probed) for op in fusion.ops if op.label in known.ops]
    if not any(len(row.precisions) > 1 for row in rows):
        raise ModelError("this model has no op that can be quantized", hint=_why_none(fusion, known, rows, notes))
    ids = {row.op.id for row in rows}
    edges = tuple(e for e in fusion.edges if e[0] in ids and e[1] in ids)
    return CapabilityTable(tuple(rows), edges)


def _row(op: FusedOp, known: Support, modes: frozenset[Mode], inside: bool, probed: Costs) -> Capability:
    entry = known.ops[op.label]
    precisions: list[OpPrecision] = []
    costs: list[float | None] = []
    note = "" if inside else "all its operands are float: int8 would only add conversions"
    for cell in entry.cells if inside else ():
        key = (op.label, cell.precision.label)
        if cell.precision.mode not in modes:
            continue
        if key in probed and probed[key] is None:
            note = f"{cell.precision.mode} does not run quantized on this machine"
            continue
        precisions.append(cell.precision)
        costs.append(probed.get(key, cell.cost))
    measured = any((op.label, p.label) in probed for p in precisions)
    origin = "probed on this machine" if measured else f"capability.yaml, {known.package} {known.versions}"
    if not precisions and not note:
        note = f"{op.type} has no {' or '.join(sorted(modes))} form"
    return Capability(Op(op.id, op.type), (*precisions, FP32), None, origin, (*costs, 1.0), note)


def _inside(fusion: Fusion, known: Support) -> frozenset[str]:
    """Ops that do the quantized work themselves, or read what such an op leaves quantized."""
    graph, stored, found = fusion.graph, set[str](), set[str]()
    for index, node in enumerate(graph.nodes):
        op = fusion.by_anchor.get(index)
        if op is not None:
            entry = known.ops.get(op.label)
            if entry is not None and (not entry.inside or stored.intersection(op.operands)):
                found.add(op.id)
                if entry.keeps:
                    stored.add(op.output)
        elif index not in fusion.owner and node.input and node.input[0] in stored and passes_through(graph, index):
            stored.update(node.output)
    return frozenset(found)


def _why_none(fusion: Fusion, known: Support, rows: Sequence[Capability], notes: Sequence[str]) -> str:
    if rows:
        reasons = dict.fromkeys(f"{row.op.type}: {row.note}" for row in rows if row.note)
        return "; ".join([*list(reasons)[:4], *notes])
    types = dict.fromkeys(node.op_type for node in fusion.graph.nodes)
    shown = ", ".join(list(types)[:8])
    quantizable = ", ".join(known.ops)
    return "; ".join([f"it has {shown}; float32 ops of these types can be: {quantizable}", *notes])


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
