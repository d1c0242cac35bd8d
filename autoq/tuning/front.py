"""The Pareto front: accepted plans that no other beats in every quantity."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from autoq.core.objective import Quantity
from autoq.core.trial import Trial


@dataclass(frozen=True)
class FrontPoint:
    """One plan of the front.

    Attributes:
        number: Of the trial.
        ratios: Each quantity relative to fp32, below 1 is better, in the order asked for.
    """

    number: int
    ratios: tuple[tuple[Quantity, float], ...]

    def to_json(self) -> dict[str, Any]:
        """Plain data; the inverse of `from_json`."""
        return {"number": self.number, "ratios": [[str(q), r] for q, r in self.ratios]}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> FrontPoint:
        """Rebuild from `to_json`."""
        return cls(data["number"], tuple((Quantity(q), float(r)) for q, r in data["ratios"]))


def ratios_of(
    trial: Trial, quantities: Sequence[Quantity], baseline: Trial
) -> tuple[tuple[Quantity, float], ...] | None:
    """Each quantity of a trial relative to fp32; None where one was not measured (an estimate is no measurement)."""
    found: list[tuple[Quantity, float]] = []
    for quantity in quantities:
        ratio: float | None
        match quantity:
            case Quantity.SIZE:
                ratio = _ratio(trial.size_bytes, baseline.size_bytes)
            case Quantity.MEMORY:
                ratio = _ratio(trial.memory_bytes, baseline.memory_bytes)
            case _:
                latency = trial.latency
                ratio = None if latency is None or latency.estimated else latency.ratio.value
        if ratio is None:
            return None
        found.append((quantity, ratio))
    return tuple(found)


def front(trials: Iterable[Trial], quantities: Sequence[Quantity], baseline: Trial) -> tuple[FrontPoint, ...]:
    """The accepted trials that no other, and not fp32 itself, equals or beats in every quantity.

    Args:
        trials: Finished trials. Of several with one plan, the one that was scored most thoroughly counts: as deployed
            before on a reference, in full before decided early, the later one of equals.
        quantities: What is compared.
        baseline: fp32, with the bytes that sizes and memory are compared to.

    Returns:
        Ordered by the first quantity; of trials that are equal in every quantity the first one told.
    """
    accepted: dict[str, Trial] = {}
    for trial in trials:
        if trial.plan.is_baseline or trial.failure is not None:
            continue
        known = accepted.get(trial.plan.digest)
        if known is None or _says(trial) >= _says(known):
            accepted[trial.plan.digest] = trial
    points = [
        FrontPoint(t.number, ratios)
        for t in accepted.values()
        if t.accepted and (ratios := ratios_of(t, quantities, baseline)) is not None
    ]
    kept: list[FrontPoint] = []
    fp32 = tuple(1.0 for _ in quantities)
    for point in sorted(points, key=lambda p: (_values(p), p.number)):
        # In lexicographic order, nothing that comes later can beat what came before.
        if not any(_covers(other, _values(point)) for other in (fp32, *map(_values, kept))):
            kept.append(point)
    return tuple(kept)


def _values(point: FrontPoint) -> tuple[float, ...]:
    return tuple(ratio for _, ratio in point.ratios)


def _covers(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    """Whether `a` is at least as good as `b` in everything."""
    return all(x <= y for x, y in zip(a, b, strict=True))


def _says(trial: Trial) -> tuple[bool, bool]:
    return not trial.reference, trial.full


def _ratio(value: int | None, base: int | None) -> float | None:
    return value / base if value is not None and base else None
