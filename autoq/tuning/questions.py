"""A strategy's question as a task, and the answer as findings: the same from a search and from `autoq inspect`."""

from __future__ import annotations

from autoq.core.inquiry import Findings, Inquiry
from autoq.core.space import Space
from autoq.core.strategy import Costs
from autoq.core.task import Answer, Sense, Sensed
from autoq.core.trial import Failure

SENSED_SAMPLES = 24
"""Calibration samples that effects of single ops are measured on."""


def question(inquiry: Inquiry, space: Space, costs: Costs, seconds: float) -> Sense:
    """The task that answers an inquiry: all units that its plan quantizes, those that save most time first."""
    asked = [u for u in space.units if any(not inquiry.plan[op.id].is_float for op in u.ops)]
    asked.sort(key=costs.saving, reverse=True)
    units = {u.id: tuple(op.id for op in u.ops) for u in asked}
    return Sense(inquiry.need, inquiry.plan, units, SENSED_SAMPLES, seconds)


def answered(inquiry: Inquiry, answer: Answer) -> Findings:
    """What was found; empty, with the reason, where measuring failed."""
    if isinstance(answer, Sensed):
        return Findings(inquiry, answer.values, answer.reason)
    why = answer.message if isinstance(answer, Failure) else str(answer)
    return Findings(inquiry, {}, f"measuring it failed: {why}")
