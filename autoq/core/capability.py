"""The one table that every adaptor exposes and every strategy searches."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from autoq.core.digest import digest_of
from autoq.core.errors import ConfigError, ModelError
from autoq.core.precision import OpPrecision


@dataclass(frozen=True, slots=True)
class Op:
    """One quantizable unit, stable across loads of the same model. A fused pattern is one op."""

    id: str
    type: str


@dataclass(frozen=True)
class Capability:
    """The precisions one op really has on this machine.

    Attributes:
        op: The op.
        precisions: Best first; the last one is float.
        group: Ops of one group change together; ``None`` for an op of its own.
        origin: Where the row comes from, for `autoq inspect`, e.g. ``capability.yaml onnxrt 1.31``.
        costs: Measured latency of the op alone in each of `precisions`, relative to float; ``None`` where
            not measured. A mark only: measured whole plans decide.
        note: What a user should know of this row, e.g. why a precision is missing.
    """

    op: Op
    precisions: tuple[OpPrecision, ...]
    group: str | None = None
    origin: str = ""
    costs: tuple[float | None, ...] = ()
    note: str = ""

    def __post_init__(self) -> None:
        if not self.precisions or not self.precisions[-1].is_float:
            raise ModelError("the last precision of an op must be float", where=self.op.id)
        if len(set(self.precisions)) != len(self.precisions):
            raise ModelError("an op lists a precision twice", where=self.op.id)
        if self.costs and len(self.costs) != len(self.precisions):
            raise ModelError("costs and precisions differ in number", where=self.op.id)

    def to_json(self) -> dict[str, Any]:
        """Plain data; the inverse of `from_json`."""
        return {
            "op": self.op.id,
            "type": self.op.type,
            "precisions": [p.to_json() for p in self.precisions],
            "group": self.group,
            "origin": self.origin,
            "costs": list(self.costs),
            "note": self.note,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Capability:
        """Rebuild from `to_json`."""
        return cls(
            Op(data["op"], data["type"]),
            tuple(OpPrecision.from_json(p) for p in data["precisions"]),
            data.get("group"),
            data.get("origin", ""),
            tuple(data.get("costs", ())),
            data.get("note", ""),
        )


@dataclass(frozen=True)
class Recipe:
    """A named rewrite of the whole model with its arguments, e.g. ``smooth_quant(alpha=0.5)``.

    Attributes:
        name: Its name.
        arguments: ``(name, value)`` pairs, ordered by name.
    """

    name: str
    arguments: tuple[tuple[str, float | int | str | bool], ...] = ()

    def __post_init__(self) -> None:
        # One form of what means the same, so that equal recipes have equal digests.
        ordered = sorted((key, _whole(value)) for key, value in self.arguments)
        object.__setattr__(self, "arguments", tuple(ordered))
        for key, value in ordered:
            if isinstance(value, float) and not math.isfinite(value):
                raise ConfigError(f"recipe '{self.name}': {key} must be a finite number, not {value}")

    @property
    def label(self) -> str:
        """``name(key=value, ...)``, or just the name."""
        inner = ", ".join(f"{k}={v}" for k, v in self.arguments)
        return f"{self.name}({inner})" if inner else self.name

    def to_json(self) -> dict[str, Any]:
        """Plain data; the inverse of `from_json`."""
        return {"name": self.name, "arguments": dict(self.arguments)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Recipe:
        """Rebuild from `to_json`."""
        return cls(data["name"], tuple(data.get("arguments", {}).items()))


@dataclass(frozen=True)
class CapabilityTable:
    """All capabilities of a model, in execution order, with the edges between ops.

    Attributes:
        rows: One per op, in execution order.
        edges: ``(producer op id, consumer op id)``; only between ops of the table (paths through ops that
            are not quantizable count as an edge).
        recipes: Whole-model rewrites that apply, alternatives in the order they should be tried.
        float_recipes: Sets of recipes worth trying with every op in float, e.g. compiled, or wholly bf16: rivals
            that any quantized plan must beat.
    """

    rows: tuple[Capability, ...]
    edges: tuple[tuple[str, str], ...] = ()
    recipes: tuple[Recipe, ...] = ()
    float_recipes: tuple[tuple[Recipe, ...], ...] = ()
    _by_id: dict[str, Capability] = field(init=False, repr=False, compare=False, hash=False)

    def __post_init__(self) -> None:
        by_id = {row.op.id: row for row in self.rows}
        if len(by_id) != len(self.rows):
            seen: set[str] = set()
            twice = next(r.op.id for r in self.rows if r.op.id in seen or seen.add(r.op.id))  # type: ignore[func-returns-value]
            raise ModelError("two ops share one id", where=twice)
        for producer, consumer in self.edges:
            if producer not in by_id or consumer not in by_id:
                raise ModelError(f"edge {producer} → {consumer} names an op that is not in the table")
        for row in self.rows:
            namesake = by_id.get(row.group) if row.group is not None else None
            if namesake is not None and namesake.group != row.group:
                raise ModelError("a group has the name of an op outside of it", where=row.group)
        object.__setattr__(self, "_by_id", by_id)

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Capability]:
        return iter(self.rows)

    def __contains__(self, op_id: object) -> bool:
        return op_id in self._by_id

    def __getitem__(self, op_id: str) -> Capability:
        return self._by_id[op_id]

    @property
    def ops(self) -> Sequence[Op]:
        """The ops in execution order."""
        return [row.op for row in self.rows]

    @cached_property
    def digest(self) -> str:
        """Content address: ops, precisions, groups, edges and recipes (not origins, costs or notes)."""
        return digest_of(
            {
                "rows": [[r.op.id, r.op.type, [p.to_json() for p in r.precisions], r.group] for r in self.rows],
                "edges": sorted(self.edges),
                "recipes": [r.to_json() for r in self.recipes],
                "float_recipes": [[r.to_json() for r in several] for several in self.float_recipes],
            }
        )

    def to_json(self) -> dict[str, Any]:
        """Plain data; the inverse of `from_json`."""
        return {
            "rows": [r.to_json() for r in self.rows],
            "edges": [list(e) for e in self.edges],
            "recipes": [r.to_json() for r in self.recipes],
            "float_recipes": [[r.to_json() for r in several] for several in self.float_recipes],
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> CapabilityTable:
        """Rebuild from `to_json`."""
        return cls(
            tuple(Capability.from_json(r) for r in data["rows"]),
            tuple((a, b) for a, b in data.get("edges", ())),
            tuple(Recipe.from_json(r) for r in data.get("recipes", ())),
            tuple(tuple(Recipe.from_json(r) for r in several) for several in data.get("float_recipes", ())),
        )


def _whole(value: float | int | str | bool) -> float | int | str | bool:
    return int(value) if isinstance(value, float) and value.is_integer() else value
