"""When an evaluation may stop before its last sample."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from autoq.core.criterion import Criterion
from autoq.core.records import Records


@dataclass(frozen=True, eq=False)
class StoppingRule:
    """Stop as soon as it is decided whether a candidate keeps the promise on all samples.

    Attributes:
        criteria: The promise, one criterion per metric.
        baseline: fp32's records of all samples, by metric.
        hard: How many of the first samples are there for being hard; the others come at random.
        before: The candidate's records of the samples before those that are scored now, by metric.
    """

    criteria: tuple[Criterion, ...]
    baseline: Mapping[str, Records]
    hard: int = 0
    before: Mapping[str, Records] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain data; the inverse of `from_json`."""
        return {
            "criteria": [c.to_json() for c in self.criteria],
            "baseline": records_to_json(self.baseline),
            "hard": self.hard,
            "before": records_to_json(self.before),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> StoppingRule:
        """Rebuild from `to_json`."""
        return cls(
            tuple(Criterion.from_json(c) for c in data["criteria"]),
            records_from_json(data["baseline"]),
            data["hard"],
            records_from_json(data["before"]),
        )


def records_to_json(records: Mapping[str, Records]) -> dict[str, str]:
    """Records by metric as text; the inverse of `records_from_json`."""
    return {name: base64.b64encode(r.to_bytes()).decode() for name, r in records.items()}


def records_from_json(data: Mapping[str, str]) -> dict[str, Records]:
    """Rebuild from `records_to_json`."""
    return {name: Records.from_bytes(base64.b64decode(text)) for name, text in data.items()}
