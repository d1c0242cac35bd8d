"""Latency of a plan that is not compiled for a search: between plans that were, by the seconds its ops save."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

from autoq.core.capability import Recipe
from autoq.core.interval import Interval
from autoq.core.plan import Plan
from autoq.core.precision import Mode
from autoq.core.space import Space
from autoq.core.strategy import Costs
from autoq.core.trial import Latency, Trial

_DOUBT = 0.15
"""How far an estimate is taken to be off, either way: finalists are compiled while they may be faster than fp32."""

_FULL = 0.5
"""Share of the ops that could be quantized from which on a plan is worth compiling as the first of its kind."""

_LEAST = 0.02
"""No estimate goes below this ratio, whatever the line through the measured plans says."""

Kind = tuple[tuple[Recipe, ...], frozenset[Mode]]
"""What plans must share to lie on one line: recipes, and the modes of their quantized ops."""


class Estimator:
    """Knows which latencies have been measured, and what follows for other plans.

    Args:
        space: What is searched.
        costs: Seconds per op in fp32 and fully quantized.
    """

    def __init__(self, space: Space, costs: Costs) -> None:
        self._units = [u for u in space.units if u.is_quantizable]
        self._savings = {u.id: costs.saving(u) for u in self._units}
        if sum(self._savings.values()) <= 0:
            self._savings = {u.id: 1.0 for u in self._units}  # nothing is known to be saved: count ops

    def deserves_measuring(self, plan: Plan, finished: Iterable[Trial]) -> bool:
        """Whether this is the first plan of its kind: what others of the kind are estimated from."""
        quantized = sum(not plan[u.ops[0].id].is_float for u in self._units)
        measured = [t for t in finished if _is_measured(t) and t.plan.precisions]
        if not any(t.plan.recipes == plan.recipes for t in measured):
            return True
        return quantized >= _FULL * len(self._units) and not any(_kind(t.plan) == _kind(plan) for t in measured)

    def estimate(self, plan: Plan, baseline: Trial, finished: Iterable[Trial]) -> Latency | None:
        """Latency by interpolation; None when no plan with these recipes was measured."""
        measured = [t for t in finished if _is_measured(t) and t.plan.recipes == plan.recipes]
        quantized = [t for t in measured if t.plan.precisions]
        related = [t for t in quantized if _kind(t.plan) == _kind(plan)] or quantized
        if baseline.latency is None or not related:
            return None
        floats = [t for t in measured if not t.plan.precisions]
        at_zero = _ratio(floats[0]) if floats else 1.0
        points = sorted({self._saved(t.plan): _ratio(t) for t in related}.items())
        ratio = max(_between([(0.0, at_zero), *(p for p in points if p[0] > 0)], self._saved(plan)), _LEAST)
        seconds = baseline.latency.seconds
        interval = Interval(ratio, (1 - _DOUBT) * ratio, (1 + _DOUBT) * ratio)
        return Latency(ratio * seconds, seconds, interval, 0, estimated=True)

    def _saved(self, plan: Plan) -> float:
        return sum(self._savings[u.id] for u in self._units if not plan[u.ops[0].id].is_float)


def _kind(plan: Plan) -> Kind:
    return plan.recipes, frozenset(p.mode for p in plan.precisions.values() if not p.is_float)


def _is_measured(trial: Trial) -> bool:
    return trial.latency is not None and not trial.latency.estimated


def _ratio(trial: Trial) -> float:
    assert trial.latency is not None
    return trial.latency.ratio.value


def _between(points: Sequence[tuple[float, float]], at: float) -> float:
    """The line through the neighbours of `at`; beyond the last point, the line from the first one through it."""
    first, last = points[0], points[-1]
    if len(points) == 1:
        return first[1]
    if not first[0] <= at <= last[0]:
        return first[1] + (last[1] - first[1]) * (at - first[0]) / (last[0] - first[0])
    left, right = next((a, b) for a, b in itertools.pairwise(points) if at <= b[0])
    return left[1] + (right[1] - left[1]) * (at - left[0]) / (right[0] - left[0])
