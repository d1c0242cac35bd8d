"""What quantizing each unit does to the model, and what it saves: findings and costs brought together."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from autoq.core.inquiry import Findings, Need
from autoq.core.space import Space
from autoq.core.strategy import Costs

NAMES = {Need.SENSITIVITY: "sensitivity", Need.LOCAL_ERROR: "local error", Need.CURVATURE: "curvature"}

MEANING = {
    Need.SENSITIVITY: "relative squared error of the final output when only this op is quantized",
    Need.LOCAL_ERROR: "relative squared error of the op's own output when it is fed what the fp32 model feeds it",
    Need.CURVATURE: "curvature of the output times the squared change of the op's weights",
}

_STANDS_OUT = 0.5
"""Share of the whole that a stretch of the network must hold to stand out, with at most half as many of the ops."""

_EDGES = (1 / 12, 1 / 6, 1 / 4)
"""Lengths of the stretches at both ends that are looked at, as shares of all units."""


@dataclass(frozen=True)
class UnitEffect:
    """One unit.

    Attributes:
        unit: Its id.
        type: Its op type.
        place: Its position in execution order, from 1.
        value: What quantizing it does; larger is worse. None where time did not suffice.
        saved: Seconds that quantizing it is believed to save; None where nothing was profiled.
        floating: Whether it stays float in the plan that the report shows.
    """

    unit: str
    type: str
    place: int
    value: float | None
    saved: float | None
    floating: bool = False

    @property
    def per_millisecond(self) -> float | None:
        """What it does for each millisecond saved: what pays least stands first. None where nothing is saved."""
        if self.value is None or self.saved is None or self.saved <= 0:
            return None
        return self.value / (1000 * self.saved)


@dataclass(frozen=True)
class Sensitivities:
    """The answer to one inquiry, unit by unit.

    Attributes:
        need: What was measured.
        effects: Per unit in execution order.
        reason: Why there are no values, or not all.
    """

    need: Need
    effects: tuple[UnitEffect, ...]
    reason: str = ""

    @classmethod
    def of(
        cls, space: Space, costs: Costs, findings: Findings, floating: frozenset[str] = frozenset()
    ) -> Sensitivities:
        """Bring together what was found and what the profiler said.

        Args:
            space: The units.
            costs: Seconds per op.
            findings: Values by unit id.
            floating: Units that stay float in the plan that is shown.
        """
        asked = [u for u in space.units if any(not findings.inquiry.plan[op.id].is_float for op in u.ops)]
        profiled = bool(costs.float_seconds)
        effects = (
            UnitEffect(
                u.id,
                u.type,
                place,
                findings.values.get(u.id),
                costs.saving(u) if profiled else None,
                u.id in floating,
            )
            for place, u in enumerate(asked, 1)
        )
        return cls(findings.inquiry.need, tuple(effects), findings.reason)

    @cached_property
    def ranked(self) -> tuple[UnitEffect, ...]:
        """Worst first; those that were not measured last."""
        return tuple(sorted(self.effects, key=lambda e: (e.value is None, -(e.value or 0.0), e.place)))

    @property
    def measured(self) -> tuple[UnitEffect, ...]:
        """Those with a value, in execution order."""
        return tuple(e for e in self.effects if e.value is not None)

    @cached_property
    def total(self) -> float:
        """Sum of the finite values."""
        return math.fsum(e.value for e in self.effects if e.value is not None and math.isfinite(e.value))

    @cached_property
    def saved(self) -> float:
        """Seconds that all units save together; those that cost time count nothing."""
        return math.fsum(max(e.saved or 0.0, 0.0) for e in self.effects)

    def share_saved(self, effect: UnitEffect) -> float | None:
        """A unit's share of the latency saved; negative where quantizing it costs time, None where not profiled."""
        return effect.saved / self.saved if effect.saved is not None and self.saved > 0 else None

    def standing_out(self) -> tuple[str, ...]:
        """Where it comes from, in words: stretches at the ends, op types, single units. Empty without values."""
        found = self.measured
        if len(found) < 2 or self.total <= 0:
            return ()
        said = [self._edge(found), self._edge(found[::-1], last=True), *self._types(found)]
        return tuple(s for s in (*said, self._few(found)) if s)

    def to_json(self) -> dict[str, Any]:
        """Plain data; the inverse of `from_json`."""
        return {"need": str(self.need), "effects": [asdict(e) for e in self.effects], "reason": self.reason}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Sensitivities:
        """Rebuild from `to_json`."""
        return cls(Need(data["need"]), tuple(UnitEffect(**e) for e in data["effects"]), data["reason"])

    def _share(self, effects: Sequence[UnitEffect]) -> float:
        return math.fsum(e.value or 0.0 for e in effects if math.isfinite(e.value or 0.0)) / self.total

    def _edge(self, found: Sequence[UnitEffect], *, last: bool = False) -> str:
        """The shortest stretch at one end that holds far more than its part."""
        for part in _EDGES:
            length = round(part * len(found))
            share = self._share(found[:length])
            if length > 1 and share >= _STANDS_OUT:
                return f"the {'last' if last else 'first'} {length} of {len(found)} ops hold {_percent(share)}"
        return ""

    def _types(self, found: Sequence[UnitEffect]) -> list[str]:
        said = []
        for kind in dict.fromkeys(e.type for e in found):
            own = [e for e in found if e.type == kind]
            share = self._share(own)
            if len(own) > 1 and share >= _STANDS_OUT and len(own) / len(found) <= share / 2:
                said.append(f"the {len(own)} ops of type {kind} hold {_percent(share)}")
        return said

    def _few(self, found: Sequence[UnitEffect]) -> str:
        """How many single ops hold half of it; nothing where that is a stretch that was named."""
        worst = [e for e in self.ranked if e.value is not None]
        count = next((n for n in range(1, len(worst)) if self._share(worst[:n]) >= _STANDS_OUT), len(worst))
        places = sorted(e.place for e in worst[:count])
        ends = ([e.place for e in found[:count]], [e.place for e in found[-count:]])
        if places in ends and 1 < count <= round(_EDGES[-1] * len(found)):
            return ""
        share = _percent(self._share(worst[:count]))
        return (
            f"{worst[0].unit} alone holds {share}"
            if count == 1
            else f"the worst {count} of {len(found)} ops hold {share}"
        )


def one_per_need(findings: Iterable[Findings]) -> list[Findings]:
    """The findings that a reader sees: of several answers to one kind of question, the one of most units."""
    best: dict[Need, Findings] = {}
    for found in findings:
        old = best.get(found.inquiry.need)
        if found.values and (old is None or len(found.values) > len(old.values)):
            best[found.inquiry.need] = found
    return [*best.values()]


def _percent(share: float) -> str:
    return f"{100 * share:.0f} % of it"
