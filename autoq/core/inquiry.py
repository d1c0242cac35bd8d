"""What a strategy may ask to be measured besides plans, and what is found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from autoq.core.plan import Plan


class Need(StrEnum):
    """A service of the tuner.

    * ``sensitivity``: divergence of the final output on a few calibration samples while a single unit is quantized
      and all others are float.
    * ``local_error``: relative squared error of each op's own output while it is fed what the fp32 model feeds it.
    * ``curvature``: second-order estimate of what quantizing each op's weights does to the final output; where the
      framework differentiates.
    """

    SENSITIVITY = "sensitivity"
    LOCAL_ERROR = "local_error"
    CURVATURE = "curvature"


@dataclass(frozen=True)
class Inquiry:
    """A strategy's question; answered by `Findings`, from the store where it was asked before.

    Attributes:
        need: What to measure.
        plan: In which precision each op is quantized; its float ops are left out.
    """

    need: Need
    plan: Plan


@dataclass(frozen=True)
class Findings:
    """The answer to an `Inquiry`.

    Attributes:
        inquiry: What was asked.
        values: By unit id; larger is worse, on a scale of its own for each need (squared relative errors, so that
            errors of several ops add up roughly). Units that were not reached in time are missing.
        reason: Why there are no values, or not all; empty when all is well.
    """

    inquiry: Inquiry
    values: Mapping[str, float] = field(default_factory=dict, hash=False)
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain data; the inverse of `from_json`."""
        return {
            "need": str(self.inquiry.need),
            "plan": self.inquiry.plan.to_json(),
            "values": dict(self.values),
            "reason": self.reason,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Findings:
        """Rebuild from `to_json`."""
        inquiry = Inquiry(Need(data["need"]), Plan.from_json(data["plan"]))
        return cls(inquiry, data["values"], data["reason"])
