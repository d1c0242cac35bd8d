"""A number and how sure we are of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from autoq.core.number import to_plain


@dataclass(frozen=True, slots=True)
class Interval:
    """A measured value with a two-sided interval.

    Attributes:
        value: Point estimate.
        low: Lower end.
        high: Upper end.
        confidence: Coverage the interval claims, e.g. .95.
    """

    value: float
    low: float
    high: float
    confidence: float = 0.95

    def overlaps(self, other: Interval) -> bool:
        """True when the two intervals share a point: such a pair is called a tie."""
        return self.low <= other.high and other.low <= self.high

    def to_json(self) -> dict[str, Any]:
        """Plain data; the inverse of `from_json`."""
        ends = {"value": to_plain(self.value), "low": to_plain(self.low), "high": to_plain(self.high)}
        return {**ends, "confidence": self.confidence}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Interval:
        """Rebuild from `to_json`."""
        return cls(float(data["value"]), float(data["low"]), float(data["high"]), data["confidence"])
