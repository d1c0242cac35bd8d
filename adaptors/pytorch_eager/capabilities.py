"""The capability table of a model: what the version offers, narrowed by the settings of each module."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch

from autoq.adaptors.pytorch.checks import require_quantizable
from autoq.adaptors.pytorch.floats import float_recipes
from autoq.adaptors.pytorch.model import TorchModel
from autoq.adaptors.pytorch.support import dynamic, entry_for, static
from autoq.adaptors.pytorch_eager.base import Base, base_of
from autoq.adaptors.pytorch_eager.fusion import EagerOp
from autoq.core.capability import Capability, CapabilityTable, Op
from autoq.core.errors import ModelError
from autoq.core.precision import BF16, FP32, DType, Granularity, Mode, OpPrecision, Scheme, TensorQuant

_BF16_PROBES = ("_is_avx512_bf16_supported", "_is_amx_tile_supported", "_is_arm_bf16_supported")


@dataclass(frozen=True)
class Support:
    """The table's part for one version range.

    Attributes:
        versions: The range, for `Capability.origin`.
        precisions: By op type, best first, without fp32, each with its cost where known.
    """

    versions: str
    precisions: Mapping[str, tuple[tuple[OpPrecision, float | None], ...]]


@cache
def support(version: str = torch.__version__) -> Support:
    """What capability.yaml says of a version of PyTorch.

    Raises:
        ModelError: The version is older than all of its ranges.
    """
    entry = entry_for(Path(__file__).with_name("capability.yaml"), version)
    return Support(entry["torch"], {name: _precisions(name, rule) for name, rule in entry["ops"].items()})


def capability_table(model: TorchModel) -> CapabilityTable:
    """The table of one model.

    Raises:
        ModelError: No op can be quantized; says why.
    """
    base = base_of(model)
    rows = [_row(base, op) for op in base.fusion.ops.values()]
    quantizable = [row for row in rows if not row.precisions[0].is_float]
    if rows and not quantizable:
        reasons = dict.fromkeys(f"{row.op.id}: {row.note}" for row in rows)
        raise ModelError("no op of this model can be quantized", hint="; ".join(list(reasons)[:4]))
    require_quantizable(len(quantizable), base.module, "pytorch_eager")
    return CapabilityTable(tuple(rows), base.fusion.edges, (), float_recipes(model))


@cache
def computes_in_bf16() -> bool:
    """Whether the processor has bfloat16 instructions: without, it is slower than float32."""
    return any(bool(getattr(torch.cpu, name, bool)()) for name in _BF16_PROBES)


def _row(base: Base, op: EagerOp) -> Capability:
    known = support()
    reason = op.obstacle or _wrong_rank(base, op)
    offered = [
        (precision, cost)
        for precision, cost in known.precisions.get(op.kind.name, ())
        if (computes_in_bf16() if precision == BF16 else not reason)
    ]
    precisions = (*(p for p, _ in offered), FP32)
    notes = [reason, base.notes.get(op.id, "")]
    if op.calls > 1:
        notes.append(f"called {op.calls} times: one range serves all calls")
    costs = (*(c for _, c in offered), 1.0)
    return Capability(
        Op(op.id, op.kind.name),
        precisions,
        origin=f"capability.yaml, torch {known.versions}",
        costs=costs,
        note="; ".join(note for note in notes if note),
    )


def _wrong_rank(base: Base, op: EagerOp) -> str:
    rank = base.ranks.get(op.id)
    if op.kind.rank is None or rank is None or rank == op.kind.rank:
        return ""
    return f"its input has {rank} axes, and a quantized {op.kind.name} takes {op.kind.rank}"


def _precisions(name: str, rule: Mapping[str, Any]) -> tuple[tuple[OpPrecision, float | None], ...]:
    costs = rule.get("cost", {})
    found: list[tuple[OpPrecision, float | None]] = []
    for key in rule:
        if key in (Mode.STATIC, Mode.DYNAMIC):
            mode = Mode(key)
            found += [(_quantized(name, mode, entry), costs.get(mode)) for entry in rule[key]]
        elif key == Mode.BF16 and rule[key]:
            found.append((BF16, costs.get(key)))
    return tuple(found)


def _quantized(name: str, mode: Mode, entry: str | list[str]) -> OpPrecision:
    granularity, observer, scheme = (entry, "minmax", "asym") if isinstance(entry, str) else entry
    if name == "Embedding":
        return OpPrecision(mode, TensorQuant(DType.UINT8, Scheme.ASYM, Granularity(granularity)))
    return static(granularity, observer, scheme) if mode is Mode.STATIC else dynamic(granularity)
