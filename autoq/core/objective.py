"""What is made small once the accuracy criterion holds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from autoq.core.errors import ConfigError


class Quantity(StrEnum):
    """A cost, always relative to fp32 and lower is better (throughput enters as its inverse)."""

    LATENCY = "latency"
    THROUGHPUT = "throughput"
    SIZE = "size"
    MEMORY = "memory"


@dataclass(frozen=True)
class Objective:
    """A weighted sum of costs relative to fp32: below 1 is better than fp32.

    Attributes:
        weights: ``(quantity, weight)``; weights are positive and are divided by their sum.
    """

    weights: tuple[tuple[Quantity, float], ...] = ((Quantity.LATENCY, 1.0),)

    def __post_init__(self) -> None:
        if not self.weights or any(not (math.isfinite(w) and w > 0) for _, w in self.weights):
            raise ConfigError("an objective needs at least one quantity, each with a positive, finite weight")
        if len({q for q, _ in self.weights}) != len(self.weights):
            raise ConfigError("an objective names a quantity twice")

    @property
    def quantities(self) -> tuple[Quantity, ...]:
        """The quantities that count, in the job's order."""
        return tuple(q for q, _ in self.weights)

    def value(self, ratios: Mapping[Quantity, float | None]) -> float | None:
        """The weighted mean of the ratios, or None while one that counts is unknown."""
        total = sum(w for _, w in self.weights)
        value = 0.0
        for quantity, weight in self.weights:
            ratio = ratios.get(quantity)
            if ratio is None:
                return None
            value += weight / total * ratio
        return value

    def to_json(self) -> list[dict[str, Any]]:
        """Plain data; the inverse of `from_json`."""
        return [{"quantity": str(q), "weight": w} for q, w in self.weights]

    @classmethod
    def from_json(cls, data: list[dict[str, Any]]) -> Objective:
        """Rebuild from `to_json`."""
        return cls(tuple((Quantity(d["quantity"]), d["weight"]) for d in data))
