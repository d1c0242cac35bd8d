"""Precisions that cannot pay for what a job minimises: kept out of a search for speed unless the job names them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median

from autoq.core.capability import Capability, CapabilityTable
from autoq.core.objective import Objective, Quantity
from autoq.core.precision import FLOAT_MODES, DType, Mode, OpPrecision
from autoq.core.space import OpRule, SpaceRules, rules_by_op

NO_FASTER = 0.9
"""Latency relative to float from which a precision saves no time worth a loss of accuracy."""

_SPEED = frozenset({Quantity.LATENCY, Quantity.THROUGHPUT})


@dataclass(frozen=True, slots=True)
class _Kind:
    """A class of precisions that trades speed for size or accuracy.

    Attributes:
        title: For readers.
        mode: The mode that a rule names it by.
        dtypes: Storage types that a rule names it by.
        whole: Judged for all ops together, since it only pays where neighbours share it.
    """

    title: str
    mode: Mode | None
    dtypes: frozenset[DType]
    whole: bool = False


_BITS4 = frozenset({DType.INT4, DType.UINT4})
_WEIGHT_ONLY = _Kind("weight-only", Mode.WEIGHT_ONLY, _BITS4)
_INT4 = _Kind("4-bit weights", None, _BITS4)
_INT16 = _Kind("16-bit activations", None, frozenset({DType.INT16}), whole=True)
_FP16 = _Kind("fp16", Mode.FP16, frozenset({DType.FP16}))


def narrowed(
    table: CapabilityTable, rules: SpaceRules, objective: Objective
) -> tuple[CapabilityTable, tuple[str, ...]]:
    """A table without what is known not to be faster than float, where speed is all that is wanted; and notes on it.

    Only classes of precisions are judged (weight-only, 4-bit weights, 16-bit activations, fp16), by their own measured
    costs. 8-bit activations always stay: an element-wise op that is slower by itself pays between ops in 8 bits.
    Where nothing quantized would be left, nothing is left out.
    """
    if not set(objective.quantities) <= _SPEED:
        return table, ()
    rule_of = rules_by_op(table, rules)
    typical = {kind: median(costs) for kind, costs in _measured(table).items() if kind.whole}
    out: dict[_Kind, list[float]] = {}
    rows = []
    for row in table:
        kept = []
        for index, precision in enumerate(row.precisions):
            kind, cost = _kind(precision), row.costs[index] if row.costs else None
            last = index == len(row.precisions) - 1
            if kind is None or last or _names(rule_of[row.op.id], rules.modes, kind):
                kept.append(index)
                continue
            judged = typical.get(kind, cost)
            if judged is None or judged < NO_FASTER:
                kept.append(index)
            else:
                out.setdefault(kind, []).append(judged if cost is None else cost)
        rows.append(_with(row, kept))
    if not out or all(p.is_float for row in rows for p in row.precisions):
        return table, ()
    return replace(table, rows=tuple(rows)), tuple(_note(kind, costs) for kind, costs in out.items())


def _measured(table: CapabilityTable) -> dict[_Kind, list[float]]:
    """Costs of every class."""
    found: dict[_Kind, list[float]] = {}
    for row in table:
        for precision, cost in zip(row.precisions, row.costs, strict=False):
            kind = _kind(precision)
            if kind is not None and cost is not None:
                found.setdefault(kind, []).append(cost)
    return found


def _kind(precision: OpPrecision) -> _Kind | None:
    if precision.mode is Mode.WEIGHT_ONLY:
        return _WEIGHT_ONLY
    if precision.mode is Mode.FP16:
        return _FP16
    if precision.activation is not None and precision.activation.dtype is DType.INT16:
        return _INT16
    return _INT4 if precision.weight is not None and precision.weight.dtype in _BITS4 else None


def _names(rule: OpRule, approach: Sequence[Mode] | None, kind: _Kind) -> bool:
    """Whether a job asks for a class of precisions: by its approach, by mode, or by type."""
    quantized = {mode for mode in approach or () if mode not in FLOAT_MODES}
    modes = {*(rule.modes or ()), *(quantized if len(quantized) == 1 else ())}
    types = {*(rule.weight.dtype or ()), *(rule.activation.dtype or ())}
    return kind.mode in modes or bool(kind.dtypes & types)


def _with(row: Capability, kept: Sequence[int]) -> Capability:
    if len(kept) == len(row.precisions):
        return row
    costs = tuple(row.costs[i] for i in kept) if row.costs else ()
    return replace(row, precisions=tuple(row.precisions[i] for i in kept), costs=costs)


def _note(kind: _Kind, costs: Sequence[float]) -> str:
    low, high = min(costs), max(costs)
    span = _factor(low) if math.isclose(low, high, rel_tol=0.05) else f"{_factor(low)} to {_factor(high)}"
    name = f"mode {kind.mode}" if kind.mode is not None else f"dtype {' or '.join(sorted(kind.dtypes))}"
    return (
        f"{kind.title} left out: speed is all this job wants, and alone such an op takes {span} times as long as "
        f"in fp32 here; naming {name} in the job brings it back"
    )


def _factor(value: float) -> str:
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"
