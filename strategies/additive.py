"""What a plan loses and costs, as a sum over its units and boundaries, corrected with every trial."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from autoq.core.capability import Recipe
from autoq.core.objective import Quantity
from autoq.core.precision import OpPrecision
from autoq.core.space import Space
from autoq.core.strategy import Costs
from autoq.core.trial import Trial, TrialState
from autoq.strategies.layout import Floats, Layout, Row
from autoq.strategies.monotone import MonotoneLink
from autoq.strategies.regression import Coefficients, Prior, Regression, between

_USUAL_SAVING = 0.5
"""Of the cost of fp32, where nothing was profiled, when everything is quantized."""

_CONVERSION = 0.2
"""Cost of a boundary before it is measured, in savings of a typical unit."""

_DIVERGENCE_DOUBT = 0.1
_SATURATION = 0.3
"""Divergence of broken outputs does not add up: it counts for less the nearer it is to 1."""

_DOUBT_FACTORS = (0.1, 0.3, 1.0, 3.0)
"""How far the doubts above may be off; the likeliest is taken, as far as trials tell."""

_COST_DOUBT = 0.003
_ESTIMATED = 0.3
"""Of the excess, how far the estimate of a trial that was decided may be off."""

_OUTLIER = 1e3
"""Excess in limits beyond which a plan is simply broken."""


@dataclass(frozen=True)
class Prediction:
    """What is expected of a plan.

    Attributes:
        divergence: Relative squared error of the outputs, as `Trial.divergence` (or, where outputs cannot be compared,
            the loss in limits).
        excess: As `Trial.excess`.
        cost: As `Trial.objective`: relative to fp32.
        sd: Standard deviation of `divergence`.
        cost_sd: Standard deviation of `cost`.
        kept: Probability that the limit holds.
    """

    divergence: float
    excess: float
    cost: float
    sd: float
    cost_sd: float
    kept: float


@dataclass(frozen=True)
class UnitEffect:
    """What one unit adds in each of its precisions: `divergence` and `cost` (negative: saved), in their order."""

    divergence: tuple[float, ...]
    cost: tuple[float, ...]


class AdditiveModel:
    """Divergence and cost of the plans under one set of recipes.

    ``divergence(plan) = sum of units' effects + sum of boundaries' effects``, and the same for the cost relative to
    fp32 and for every further quantity. Before a trial: sensitivities, and seconds by op from the profiler. A plan
    measured corrects the whole, its precisions, its op types, its units and its boundaries, each as far as it explains
    what was measured; estimated latencies and failed trials say nothing.

    Args:
        space: What may be chosen.
        costs: Seconds by op.
        sensitivities: Divergence by unit id with only that unit quantized in its first precision; units may be missing.
        recipes: Which plans it is about; trials under other recipes only serve to relate divergence to excess.
        quantities: Further quantities to model, each relative to fp32.
        factors: Divergence by precision, relative to that of a unit's first one, where it is known.
    """

    def __init__(
        self,
        space: Space,
        costs: Costs,
        sensitivities: Mapping[str, float],
        recipes: tuple[Recipe, ...] = (),
        quantities: tuple[Quantity, ...] = (),
        factors: Mapping[OpPrecision, float] | None = None,
    ) -> None:
        self.layout = Layout(space)
        self.recipes, self.quantities = recipes, quantities
        self.link = MonotoneLink()
        self._trusted = bool(sensitivities)
        self._baseline: Trial | None = None
        intercept = 0.5 if recipes else 0.0
        self._divergence = Regression(
            self.layout, _divergence_prior(space, self.layout, sensitivities, intercept, factors or {})
        )
        self._cost = Regression(self.layout, _cost_prior(space, self.layout, costs, intercept))
        uniform = _cost_prior(space, self.layout, Costs(), intercept)
        self._others = {q: Regression(self.layout, _prior_of(q, uniform, self._cost)) for q in quantities}
        self._rows: dict[int, Row] = {}
        self._trials: list[Trial] = []
        self._stale = False

    def tell(self, trial: Trial) -> None:
        """Learn from a finished trial; the baseline is number 0."""
        if trial.number == 0:
            self._baseline = trial
            if math.isfinite(trial.excess):
                self.link.floor = trial.excess
        if trial.state is not TrialState.COMPLETE or not trial.scores:
            return
        self._trials.append(trial)
        self._stale = True
        row = self.layout.encode_plan(trial.plan) if trial.plan.recipes == self.recipes else None
        if row is not None and trial.number != 0:
            self._rows[len(self._trials) - 1] = row
            for regression in (self._divergence, self._cost, *self._others.values()):
                regression.add(row)

    def predict(self, choices: Mapping[str, int]) -> Prediction:
        """What is expected of a choice of precisions; units that are not named take their first."""
        self._refresh()
        row = self.layout.encode(choices)
        divergence = max(self._divergence.coefficients.of(row), 0.0)
        sd = self._divergence.doubt(row)
        excess = self.link.excess(divergence)
        spread = math.hypot(self.link.spread, self.link.slope(divergence) * sd)
        kept = 0.5 * math.erfc(excess / (spread * math.sqrt(2)))
        cost = 1 + self._cost.coefficients.of(row)
        return Prediction(divergence, excess, cost, sd, self._cost.doubt(row), kept)

    def unit_effects(self) -> Mapping[str, UnitEffect]:
        """What each unit adds by itself, by unit id."""
        divergence, cost = self.divergence.units.tolist(), self.cost.units.tolist()
        spans = zip(self.layout.ids, self.layout.offsets[:-1].tolist(), self.layout.offsets[1:].tolist(), strict=True)
        return {u: UnitEffect(tuple(divergence[a:b]), tuple(cost[a:b])) for u, a, b in spans}

    @property
    def divergence(self) -> Coefficients:
        """Effects on divergence."""
        self._refresh()
        return self._divergence.coefficients

    @property
    def cost(self) -> Coefficients:
        """Effects on the cost, relative to fp32."""
        self._refresh()
        return self._cost.coefficients

    def sample(self, random: np.random.Generator, boldness: float = 1.0) -> tuple[Coefficients, Coefficients]:
        """Effects on cost and on divergence drawn from what is still possible.

        Args:
            random: Source of randomness.
            boldness: Share of the way from the likeliest effects to the drawn ones.
        """
        self._refresh()
        cost = between(self._cost.coefficients, self._cost.sample(random), boldness)
        loss = between(self._divergence.coefficients, self._divergence.sample(random), boldness)
        return cost, replace(loss, units=np.maximum(loss.units, 0.0))

    @property
    def limit(self) -> float:
        """The divergence up to which the limit is expected to hold."""
        self._refresh()
        return self.link.limit

    def quantity(self, quantity: Quantity) -> Coefficients:
        """Effects on one of the further quantities, relative to fp32."""
        self._refresh()
        return self._others[quantity].coefficients

    def _refresh(self) -> None:
        if not self._stale:
            return
        self._stale = False
        compared = (t.divergence for t in self._trials if not t.plan.is_baseline)
        continuous = any(d is not None and math.isfinite(d) for d in compared)
        told = [(t, _divergence_of(t, continuous)) for t in self._trials if not t.plan.is_baseline]
        linked = [(d, t) for t, d in told if d is not None]
        self.link.fit([d for d, _ in linked], [_excess_of(t) for _, t in linked], [_doubt_of(t) for _, t in linked])
        losses = {i: d for i in self._rows if (d := _divergence_of(self._trials[i], continuous)) is not None}
        relative = {i: _DIVERGENCE_DOUBT + _SATURATION * min(v, 1.0) for i, v in losses.items()}
        room = (0.05, 20.0) if self._trusted and continuous else (1e-9, 1e9)
        self._fit(self._divergence, losses, {i: relative[i] * v for i, v in losses.items()}, room, _DOUBT_FACTORS)
        costs = {i: c - 1 for i in self._rows if (c := _cost_of(self._trials[i])) is not None}
        self._fit(self._cost, costs, {i: _cost_doubt(self._trials[i]) for i in costs}, (0.2, 5.0))
        for quantity, regression in self._others.items():
            ratios = {i: r - 1 for i in self._rows if (r := self.ratio(self._trials[i], quantity)) is not None}
            self._fit(regression, ratios, dict.fromkeys(ratios, _COST_DOUBT), (0.2, 5.0))

    def ratio(self, trial: Trial, quantity: Quantity) -> float | None:
        """A measured quantity of a trial relative to fp32, or None."""
        base = self._baseline
        if quantity is Quantity.SIZE:
            return _ratio(trial.size_bytes, base.size_bytes if base is not None else None)
        if quantity is Quantity.MEMORY:
            return _ratio(trial.memory_bytes, base.memory_bytes if base is not None else None)
        measured = trial.latency is not None and not trial.latency.estimated
        return trial.latency.ratio.value if measured and trial.latency is not None else None

    def _fit(
        self,
        regression: Regression,
        values: Mapping[int, float],
        doubts: Mapping[int, float],
        room: tuple[float, float],
        doubt_factors: tuple[float, ...] = (1.0,),
    ) -> None:
        index = {trial: n for n, trial in enumerate(self._rows)}
        measured = np.array([values[i] for i in values], np.float64)
        expected = np.array([regression.mean(self._rows[i]) for i in values], np.float64)
        sds = np.array([doubts[i] for i in values], np.float64)
        scale = _scale(measured, expected, sds, room)
        least = 1e-3 * scale * float(np.abs(expected).max(initial=0.0))
        used = np.array([index[i] for i in values], np.intp)
        choices = [np.maximum(factor * sds, least) for factor in doubt_factors]
        if len(choices) > 1:
            choices.sort(key=lambda doubts: -regression.evidence(used, measured, doubts, scale))
        regression.fit(used, measured, choices[0], scale)


def _divergence_prior(
    space: Space,
    layout: Layout,
    sensitivities: Mapping[str, float],
    intercept: float,
    factors: Mapping[OpPrecision, float],
) -> Prior:
    """Sensitivities by position; where no factor is known, the error of a weight falls by four with each bit."""
    finite = [v for v in sensitivities.values() if math.isfinite(v)]
    usual = float(np.median(finite)) if finite else 1 / max(len(space.units), 1)
    by_unit = np.array([_finite(sensitivities.get(u), usual) for u in layout.ids])
    bits = np.array([_bits(p) for p in layout.precisions], np.float64)[layout.palette]
    best = bits[layout.offsets[:-1]][layout.unit]
    factor = 4.0 ** np.clip(best - bits, -4, 4)
    known = np.array([factors.get(p, np.nan) for p in layout.precisions])[layout.palette]
    factor = np.where(np.isnan(known), factor, known)
    effects = np.where(layout.quantized, factor, 0.01) * by_unit[layout.unit]
    effects[layout.reference] = 0.0
    return Prior(effects, 0.0, 0.3 * usual, intercept)


def _cost_prior(space: Space, layout: Layout, costs: Costs, intercept: float) -> Prior:
    """Savings of the units as shares of the whole fp32 model."""
    total = sum(costs.float_seconds.values())
    if total > 0:
        saved = np.array([costs.saving(u) / total for u in space.units])
    else:
        saved = np.full(len(space.units), _USUAL_SAVING / max(len(space.units), 1))
    effects = np.where(layout.quantized, -1.0, -0.5) * saved[layout.unit]
    effects[layout.reference] = 0.0
    typical = float(np.abs(saved).mean()) if len(saved) else 0.0
    return Prior(effects, _CONVERSION * typical, _CONVERSION * typical, intercept)


def _prior_of(quantity: Quantity, uniform: Prior, cost: Regression) -> Prior:
    """Latency as the cost; size and memory evenly over the units, without boundaries."""
    if quantity in (Quantity.SIZE, Quantity.MEMORY):
        return Prior(uniform.units, 0.0, 0.1 * uniform.boundary, uniform.intercept)
    return cost.prior


def _scale(measured: Floats, expected: Floats, sds: Floats, room: tuple[float, float]) -> float:
    """By which factor a prior is off as a whole: the geometric mean over plans, by how exactly they are known."""
    whole = float(np.abs(expected).max(initial=0.0))
    telling = np.abs(expected) > 0.2 * whole
    if whole == 0 or not telling.any():
        return 1.0
    ratios = np.clip(measured[telling] / expected[telling], *room)
    trust = 1 / (sds[telling] / np.maximum(np.abs(measured[telling]), 1e-12) + 0.05) ** 2
    return float(np.exp((trust * np.log(ratios)).sum() / trust.sum()))


def _divergence_of(trial: Trial, continuous: bool) -> float | None:
    """The divergence; where no trial has one, the loss in limits, which is coarse but the same in kind."""
    if continuous:
        return trial.divergence if trial.divergence is not None and math.isfinite(trial.divergence) else None
    return max(_excess_of(trial) + 1.0, 0.0) if math.isfinite(trial.excess) else None


def _excess_of(trial: Trial) -> float:
    """The excess; of a decided trial on the side that was decided."""
    excess = min(trial.excess, _OUTLIER)
    if trial.decided and not trial.full:
        return min(excess, 0.0) if trial.met else max(excess, 0.0)
    return excess


def _doubt_of(trial: Trial) -> float:
    """Standard deviation of the excess: a quarter of the interval of the worst metric, in limits.

    Of a trial that was decided the interval is wide, because it holds at any time; but on which side of the limit the
    loss lies is sure, and the estimate is better than its interval.
    """
    if trial.decided:
        return max(_ESTIMATED * abs(_excess_of(trial)), 0.1)
    worst = max(trial.scores, key=lambda s: (s.loss.value - s.limit) / max(s.limit, 1e-3))
    width = worst.loss.high - worst.loss.low
    return max(width / 4 / max(worst.limit, 1e-3), 0.05) if math.isfinite(width) else 1.0


def _cost_of(trial: Trial) -> float | None:
    """The measured objective; None where it is unknown or rests on an estimated latency."""
    if trial.objective is None or not math.isfinite(trial.objective):
        return None
    return None if trial.latency is not None and trial.latency.estimated else trial.objective


def _cost_doubt(trial: Trial) -> float:
    if trial.latency is None:
        return _COST_DOUBT
    return max((trial.latency.ratio.high - trial.latency.ratio.low) / 4, _COST_DOUBT)


def _ratio(value: int | None, base: int | None) -> float | None:
    return value / base if value is not None and base else None


def _finite(value: float | None, usual: float) -> float:
    return value if value is not None and math.isfinite(value) and value >= 0 else usual


def _bits(precision: OpPrecision) -> int:
    """Width of the narrower tensor that is quantized."""
    return min((t.dtype.bits for t in (precision.weight, precision.activation) if t is not None), default=8)
