"""What searches with an additive model share: sensitivities, models told of every trial, units that break plans."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from autoq.core.capability import Recipe
from autoq.core.inquiry import Need
from autoq.core.objective import Quantity
from autoq.core.precision import OpPrecision
from autoq.core.space import Space
from autoq.core.strategy import Costs
from autoq.core.trial import Trial, TrialState
from autoq.strategies.additive import AdditiveModel
from autoq.strategies.layout import Mask
from autoq.strategies.points import Point, PointSearch, Step
from autoq.strategies.sequential import Steps, found

_CULPRITS = 12
"""Units found to break a plan after which the search gives up."""

_FACTOR = 50.0
"""By how much precisions may differ in what they lose, at most."""


_MOST = 1e6
_BROKEN = 10.0
"""Sensitivity of a unit whose output is infinitely far off, in that of the worst other one."""


def usable(findings: Mapping[str, float]) -> dict[str, float]:
    """Findings as numbers that models can add and square.

    What is not a number is left out, the rest brought into range. Nothing where all are zero: that would be no order,
    and a certainty that no trial could correct.
    """
    if not any(v > 0 for v in findings.values()):
        return {}
    worst = max((v for v in findings.values() if math.isfinite(v)), default=1.0)
    most = min(max(_BROKEN * worst, 0.0), _MOST)
    return {u: min(max(v, 0.0), most if math.isinf(v) else _MOST) for u, v in findings.items() if not math.isnan(v)}


class ModelSearch(PointSearch):
    """A search from point to point that learns what units and boundaries cost and lose.

    Args:
        space: What may be chosen.
        costs: Seconds by op.
        seed: For those that draw at random.
        screen: Samples of a screening; by default a third of all, at least 64, where trials do not stop by themselves.

    Raises:
        ConfigError: `screen` is below 1.
    """

    def __init__(self, space: Space, costs: Costs, seed: int, *, screen: int | None = None) -> None:
        super().__init__(space, costs, seed, screen=screen)
        self.sensitivities: Mapping[str, float] = {}
        self.factors: dict[OpPrecision, float] = {}
        self.unasked = ""
        self.told_trials: dict[int, Trial] = {}
        self.points: dict[tuple[Recipe, ...], dict[bytes, Point]] = {}
        self.forbidden: Mask = np.zeros(sum(len(u.precisions) for u in space.units), bool)
        self.culprits: list[str] = []
        self._models: dict[tuple[Recipe, ...], AdditiveModel] = {}

    @property
    def quantities(self) -> tuple[Quantity, ...]:
        """What the models predict besides the cost."""
        return ()

    @property
    def too_many_culprits(self) -> bool:
        """Whether so many units break plans that going on makes little sense."""
        return len(self.culprits) >= _CULPRITS

    def ask_sensitivities(self) -> Steps[None]:
        """Ask for the sensitivity of every unit, kept in `sensitivities`; or why there is none, in `unasked`."""
        findings = yield from found(Need.SENSITIVITY, self.space.full_plan())
        self.sensitivities = usable(findings.values)
        self.unasked = "" if self.sensitivities else findings.reason or "none is above zero"

    def learn_factors(self) -> None:
        """From the uniform plans tried so far, how much more or less each precision loses than a unit's first one.

        Sensitivities are those of first precisions; without these factors, models would know little of the others.
        """
        layout, uniform = self.model(()).layout, list(self.points.get((), {}).values())
        first = next((p for p in uniform if not any(p.choices.values())), None)
        whole = first.trial.divergence if first is not None else None
        known = [v for v in self.sensitivities.values() if math.isfinite(v)]
        if not known or not whole or not math.isfinite(whole):
            return
        usual = float(np.median(known))
        share = np.array([max(self.sensitivities.get(u, usual), 0.0) for u in layout.ids])
        share *= whole / max(float(share.sum()), 1e-300)
        for point in uniform:
            positions = layout.encode(point.choices).positions
            changed = (positions != layout.offsets[:-1]) & layout.quantized[positions]
            moved = float(share[changed].sum())
            if point.trial.divergence is None or not math.isfinite(point.trial.divergence) or moved <= 0:
                continue
            rest = float(share[layout.quantized[positions] & ~changed].sum())
            factor = float(np.clip((point.trial.divergence - rest) / moved, 1 / _FACTOR, _FACTOR))
            for kind in np.unique(layout.palette[positions[changed]]).tolist():
                self.factors.setdefault(layout.precisions[kind], factor)
        self._models.clear()

    def attempt(
        self, choices: Mapping[str, int], note: str, recipes: tuple[Recipe, ...] = (), *, full: bool = False
    ) -> Step:
        """Try a plan, and let every model learn from it."""
        point = yield from super().attempt(choices, note, recipes, full=full)
        self.learn(point.trial)
        row = self.model(recipes).layout.encode(choices)
        self.points.setdefault(recipes, {})[row.positions.tobytes()] = point
        return point

    def learn(self, trial: Trial) -> None:
        """Let every model learn from a trial, once."""
        if trial.number not in self.told_trials:
            self.told_trials[trial.number] = trial
            for model in self._models.values():
                model.tell(trial)

    def model(self, recipes: tuple[Recipe, ...]) -> AdditiveModel:
        """The model of the plans under some recipes, told everything so far."""
        if recipes not in self._models:
            model = AdditiveModel(self.space, self.costs, self.sensitivities, recipes, self.quantities, self.factors)
            known = (t for t in (self.baseline, *self.rivals, *self.told_trials.values()) if t is not None)
            for trial in {t.number: t for t in known}.values():
                model.tell(trial)
            self._models[recipes] = model
        return self._models[recipes]

    def budget(self, model: AdditiveModel) -> float:
        """The divergence up to which the limit seems to hold; positive."""
        if model.limit > 0:
            return model.limit
        seen = [(d, t.met) for t in self.told_trials.values() if (d := t.divergence) and math.isfinite(d)]
        return max((d for d, met in seen if met), default=0.25 * min((d for d, _ in seen), default=0.0))

    def isolate(self, point: Point) -> Steps[None]:
        """Find by halving a unit that breaks a plan, and forbid its mode there.

        Units that were quantized in a plan that worked are not suspected, unless that leaves none.
        """
        if self.too_many_culprits:
            return
        layout = self.model(point.recipes).layout
        positions = layout.encode(point.choices).positions
        complete = (t.plan for t in self.told_trials.values() if t.state is TrialState.COMPLETE)
        worked = {p for plan in complete if (row := layout.encode_plan(plan)) for p in row.positions.tolist()}
        movable = {u.id for u in self.quantized}
        units = [i for i, p in enumerate(positions.tolist()) if layout.quantized[p] and layout.ids[i] in movable]
        suspects = [i for i in units if int(positions[i]) not in worked] or units
        floats = {u.id: u.float_index or 0 for u in self.quantized}
        while len(suspects) > 1:
            half = suspects[: len(suspects) // 2]
            kept = {layout.ids[i]: point.choices.get(layout.ids[i], 0) for i in half}
            note = f"which unit fails: {len(half)} of {len(suspects)} suspects quantized"
            smaller = yield from self.attempt({**point.choices, **floats, **kept}, note, point.recipes)
            suspects = suspects[len(half) :] if smaller.trial.state is TrialState.COMPLETE else half
        for unit in suspects:
            broken, start = layout.precisions[layout.palette[positions[unit]]], int(layout.offsets[unit])
            for index, precision in enumerate(self.space.by_id[layout.ids[unit]].precisions):
                self.forbidden[start + index] |= precision.mode is broken.mode
            self.culprits.append(layout.ids[unit])
