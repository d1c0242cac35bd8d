"""A plan: which op runs in which precision, plus recipes. And what a strategy asks for with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any

from autoq.core.capability import Recipe
from autoq.core.digest import digest_of
from autoq.core.precision import FP32, OpPrecision


@dataclass(frozen=True, eq=False)
class Plan:
    """Op → precision, plus recipes. An op that is not named runs in fp32.

    Two plans are equal when they mean the same: naming an op as fp32 or leaving it out is one plan.

    Attributes:
        precisions: Precision by op id, without the ops that stay fp32, ordered by id.
        recipes: Whole-model rewrites, in the order they are applied.
    """

    precisions: Mapping[str, OpPrecision] = field(default_factory=dict)
    recipes: tuple[Recipe, ...] = ()

    def __post_init__(self) -> None:
        kept = {op: self.precisions[op] for op in sorted(self.precisions) if self.precisions[op] != FP32}
        object.__setattr__(self, "precisions", kept)

    def __getitem__(self, op_id: str) -> OpPrecision:
        return self.precisions.get(op_id, FP32)

    def __iter__(self) -> Iterator[str]:
        return iter(self.precisions)

    def __len__(self) -> int:
        return len(self.precisions)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Plan) and self.precisions == other.precisions and self.recipes == other.recipes

    def __hash__(self) -> int:
        return hash(self.digest)

    @cached_property
    def digest(self) -> str:
        """Content address of what the plan means."""
        return digest_of(self.to_json())

    @property
    def is_baseline(self) -> bool:
        """True when the plan changes nothing at all: the fp32 model itself."""
        return not self.precisions and not self.recipes

    @property
    def is_rival(self) -> bool:
        """True when every op stays float and only recipes act, e.g. compiled: what a quantized plan must beat."""
        return not self.precisions and bool(self.recipes)

    def with_precisions(self, changes: Mapping[str, OpPrecision]) -> Plan:
        """A plan with some ops changed."""
        return Plan({**self.precisions, **changes}, self.recipes)

    def to_json(self) -> dict[str, Any]:
        """Plain data: distinct precisions once, ops by index, so that 5,000 ops stay small."""
        palette = sorted(set(self.precisions.values()), key=lambda p: (p.label, str(p.to_json())))
        index = {precision: i for i, precision in enumerate(palette)}
        return {
            "palette": [p.to_json() for p in palette],
            "ops": {op: index[p] for op, p in self.precisions.items()},
            "recipes": [r.to_json() for r in self.recipes],
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Plan:
        """Rebuild from `to_json`."""
        palette = [OpPrecision.from_json(p) for p in data["palette"]]
        return cls(
            {op: palette[i] for op, i in data["ops"].items()},
            tuple(Recipe.from_json(r) for r in data.get("recipes", ())),
        )


FP32_PLAN = Plan()


class LatencyEffort(StrEnum):
    """How carefully a trial's latency is measured."""

    NONE = "none"
    QUICK = "quick"
    FULL = "full"


@dataclass(frozen=True)
class Proposal:
    """What a strategy asks for.

    Attributes:
        plan: The plan to try.
        samples: Evaluation samples it deserves, the first so many of the tune split; ``None`` for all.
        latency: How carefully latency is measured.
        note: Why, in a few words, for the history ("prefix 16 → fp32").
        deployed: Score the form that is deployed, where a faithful reference of it would do for a search.
        exact: Score every sample, where the evaluation might stop as soon as the trial is decided.
    """

    plan: Plan
    samples: int | None = None
    latency: LatencyEffort = LatencyEffort.QUICK
    note: str = ""
    deployed: bool = False
    exact: bool = False

    def to_json(self) -> dict[str, Any]:
        """Plain data; the inverse of `from_json`."""
        return {
            "plan": self.plan.to_json(),
            "samples": self.samples,
            "latency": str(self.latency),
            "note": self.note,
            "deployed": self.deployed,
            "exact": self.exact,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Proposal:
        """Rebuild from `to_json`."""
        return cls(
            Plan.from_json(data["plan"]),
            data.get("samples"),
            LatencyEffort(data["latency"]),
            data.get("note", ""),
            data.get("deployed", False),
            data.get("exact", False),
        )


@dataclass(frozen=True)
class Wait:
    """The strategy needs results of open trials before it can propose more."""


@dataclass(frozen=True)
class Done:
    """The strategy has nothing more to try.

    Attributes:
        reason: In one sentence, for the report.
    """

    reason: str = ""
