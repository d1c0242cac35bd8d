"""A number and how sure we are of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


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
        return {"value": self.value, "low": self.low, "high": self.high, "confidence": self.confidence}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Interval:
        """Rebuild from `to_json`."""
        return cls(data["value"], data["low"], data["high"], data["confidence"])
