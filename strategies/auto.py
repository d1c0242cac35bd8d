"""The default: knows nothing of the model, spends little on finding out, and chooses what suits it."""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence

from autoq.core.inquiry import Findings, Inquiry, Need
from autoq.core.plan import LatencyEffort, Proposal
from autoq.core.space import Space
from autoq.core.strategy import Costs
from autoq.core.trial import Trial, TrialState
from autoq.strategies.basic import Basic
from autoq.strategies.bayesian import Bayesian
from autoq.strategies.exhaustive import Exhaustive
from autoq.strategies.ilp import Ilp
from autoq.strategies.model_search import usable
from autoq.strategies.pareto import Pareto
from autoq.strategies.points import Point
from autoq.strategies.programme import Programme
from autoq.strategies.refinement import Refinement
from autoq.strategies.regions import Region, blocks, prefixes, suffixes
from autoq.strategies.sequential import Search, Sequential, Steps, found, tried

SCREEN = 32
"""Samples on which a region's divergence is measured: those that trials compare outputs on."""

_PREFIXES = (1 / 48, 1 / 24, 1 / 12, 1 / 6, 1 / 3)
_SUFFIXES = (1 / 24, 1 / 12, 1 / 6)
_BLOCKS = 6
_TINY = 16
"""Plans of a space that are simply all tried."""

_WORTH_SEARCHING = 0.03
"""Share of the cost that must be left to gain for a search to go on from a uniform plan that keeps the limit."""

_GAIN = 0.004
"""Share of the cost that a trial must be expected to improve to be worth it."""

_PATIENCE = 5
"""Trials in a row that may bring nothing faster while expected improvement leads."""

_PROGRAMMES = 10
"""And while integer programmes do."""

_SEEKING = 24
"""Programmes in a row that may find nothing, while nothing is accepted."""

_FEW = 16
"""Ops of a model so small that another search on top costs little."""

_CUTS = 8
"""Cut points that search tries."""

_HOPE = 0.15
"""Probability of keeping the limit from which a region that was screened is worth a trial."""

_SENSED = 24
"""Samples on which the sensitivity of an op is measured."""

_AFFORDABLE = 2.0
"""Full evaluations that measuring all sensitivities may cost."""

_NEARER = 0.9
"""Share of the divergence below which a region is believed to matter."""

_MISSES = 3
"""Screened regions in a row that may fail a trial."""


class Auto(Ilp):
    """Finds out what kind of problem a model is, and gives it to what suits it.

    * A space of a few plans is tried as a whole, the likely ones first; several objectives are given to `Pareto`.
    * Uniform plans come first. If one keeps the limit, only its speed is left to improve.
    * Otherwise the sensitivity of every op is measured where that costs no more than two evaluations, else each op's
      own error in one pass over some calibration samples; and regions in float
      (beginnings, ends, blocks) are screened by the divergence of the output on a few samples, which costs a fraction
      of a trial. Both feed an additive model of what units and boundaries lose and cost; the regions most likely to
      keep the limit at the least cost are tried first.
    * Then the model leads: around the best plan the trial with the largest expected improvement, and integer programmes
      as in `Ilp`, until none is worth its time.
    * A model of few ops is searched by `Bayesian`, too; where nothing was found, the greedy search of `Basic` follows,
      on the trials there are.

    The best so far may be taken at any time. Uniform plans take up to 10 trials, screening 14 tenths of one, the rest
    ends by itself; asking costs what `AdditiveModel` does.

    Args:
        space: What may be chosen.
        costs: Seconds by op.
        seed: Given to the strategies it chooses.
    """

    def __init__(self, space: Space, costs: Costs, seed: int) -> None:
        super().__init__(space, costs, seed, patience=_PROGRAMMES)
        self._memory = _Memory()
        self._steps: list[str] = []

    @property
    def patience(self) -> int:
        """Longer while nothing is accepted: plans that are far off are given up after a few samples."""
        found = any(t.accepted and t.objective is not None and t.objective < 1 for t in self.told_trials.values())
        return self._patience if found else _SEEKING

    def search(self) -> Search:
        """The whole search; see the class."""
        if self.space.size <= _TINY:
            yield from self._memory.over(self._led_by_the_model())  # what is likely comes first: a budget may end it
            return (yield from self._all_of("the space is so small that every plan of it was tried", Exhaustive))
        if len(self.costs.quantities) > 1:
            return (yield from self._all_of("several objectives were given, so the front was explored", Pareto))
        return (yield from self._memory.over(self._led_by_the_model()))

    def _all_of(self, why: str, kind: type[Sequential]) -> Search:
        strategy = kind(self.space, self.costs, self.seed)
        self._steps.append(f"chose {kind.__name__.lower()}, because {why}")
        reason = yield from self._through(strategy)
        self.explanation = f"Chose {kind.__name__.lower()}, because {why}. {strategy.explanation}".strip()
        return reason

    def progress(self) -> str:
        """How far the search came, and by what steps."""
        done = "; ".join(self._steps)
        return f"So far: {done}. {super().progress()}" if done else super().progress()

    def _through(self, strategy: Sequential) -> Search:
        strategy.baseline, strategy.rivals = self.baseline, self.rivals
        return (yield from self._memory.over(strategy.search()))

    def _led_by_the_model(self) -> Search:
        base, best = yield from self.uniform()
        if base.trial.state is not TrialState.COMPLETE:
            yield from self.isolate(base)
        if best is not None:
            self._steps.append("a uniform plan keeps the limit")
            base = self.faster_uniform(best) or base
        if not base.trial.accepted and not self.holds(base):
            yield from self._measure(base)
            best = yield from self._screen(base, best)
        few = len(self.quantized) <= _FEW
        if best is not None and not few and self._left_to_gain(best) < _WORTH_SEARCHING:
            best = yield from self.choose_recipes(best)
            self._steps.append("no other plan is predicted to be faster by more than it takes to tell")
            return self._conclude(base, best)
        refinement = Refinement(self, _PATIENCE)
        best = yield from refinement.of(base.recipes, best, _GAIN)
        trials = "1 trial" if refinement.tried == 1 else f"{refinement.tried} trials"
        self._steps.append(f"{trials} followed expected improvement")
        best = yield from self.optimize(base, best)
        self._steps.append("integer programmes chose precisions on what was measured")
        if few:
            best = yield from self._also(Bayesian(self.space, self.costs, self.seed, cut_trials=_CUTS))
        if best is None:
            best = yield from self._also(Basic(self.space, self.costs, self.seed))
        return self._conclude(base, best)

    def _left_to_gain(self, best: Point) -> float:
        """Share of the best cost that the fastest plan of all, whatever it loses and tried or not, would save."""
        model = self.model(best.recipes)
        fastest = Programme(model.layout, model.cost, model.divergence, self.forbidden).solve(math.inf)
        if fastest is None:
            return 0.0
        return 1 - model.predict(model.layout.choices(fastest.positions)).cost / best.cost

    def _measure(self, base: Point) -> Steps[None]:
        """What quantizing each op alone does to the output, where that costs little; else each op's own error.

        The former tells far more of a plan. It takes so many samples for every op, the latter one pass for all.
        """
        cheap = len(self.quantized) * _SENSED <= _AFFORDABLE * self.costs.samples
        first, second = Need.SENSITIVITY, Need.LOCAL_ERROR
        for need in (first, second) if cheap else (second, first):
            findings = yield from found(need, self.space.plan(base.choices))
            self.sensitivities = usable(findings.values)
            if self.sensitivities:
                self._steps.append(f"the {need.replace('_', ' ')} of {len(findings.values)} ops was measured")
                break
        self._models.clear()
        self.learn_factors()

    def _screen(self, base: Point, best: Point | None) -> Steps[Point | None]:
        """Try the screened regions that may keep the limit, cheapest first; the best accepted."""
        units = self.quantized
        regions = [*prefixes(units, _PREFIXES), *suffixes(units, _SUFFIXES), *blocks(units, _BLOCKS)]
        regions = list({r.units: r for r in regions if len(r.units) < len(units)}.values())
        left: list[Region] = []
        for region in regions:
            plan = self.space.plan(self.in_float(base, region.units), base.recipes)
            note = f"{region.name} → float, on few samples"
            trial = yield from tried(Proposal(plan, SCREEN, LatencyEffort.NONE, note))
            self.learn(trial)
            if _won(trial, base.trial):
                left.append(region)
        self._steps.append(f"{len(regions)} regions in float were screened by divergence")
        misses = 0
        while misses < _MISSES and left:
            chosen = self._next_region(base, left, best)
            if chosen is None:
                break
            region = left.pop(chosen)
            choices = self.in_float(base, region.units)
            point = yield from self.attempt(choices, f"{region.name} → float", base.recipes)
            faster = yield from self.confirm([point], best)
            best, misses = (faster, 0) if faster is not None else (best, misses + 1)
        return best

    def _next_region(self, base: Point, regions: Sequence[Region], best: Point | None) -> int | None:
        """Index of the one with the most to gain by its chance to keep the limit; None when none is likely enough."""
        model = self.model(base.recipes)
        bar = best.cost if best is not None else 1.0
        hopeful: list[tuple[float, int]] = []
        for index, region in enumerate(regions):
            expected = model.predict(self.in_float(base, region.units))
            if expected.cost < bar and expected.kept > _HOPE:
                hopeful.append(((bar - expected.cost) * expected.kept, -index))
        return -max(hopeful)[1] if hopeful else None

    def _also(self, strategy: Sequential) -> Steps[Point | None]:
        """Another search, on the trials there are; the best accepted of all."""
        self._steps.append(f"{type(strategy).__name__.lower()} went on from there")
        yield from self._through(strategy)
        accepted = [t for t in self._memory.trials if t.accepted and t.objective is not None and t.objective < 1]
        if not accepted:
            return None
        first = min(accepted, key=lambda t: t.objective or math.inf)
        return Point(self.space.choices(first.plan), first)

    def _conclude(self, base: Point, best: Point | None) -> str:
        did = "; ".join(self._steps)
        if best is None:
            why = (
                f"fully quantized, the best style loses {base.trial.excess + 1:.1f} times what is allowed"
                if not self.holds(base)
                else f"fully quantized, the model takes {base.cost:.2f} times what fp32 takes"
            )
            self.explanation = f"No plan was found that keeps the limit and is faster than fp32: {why}. Tried: {did}."
            return "nothing that is left is worth a trial"
        floats = sum(self.is_float(best, u.id) for u in self.quantized)
        kept = f"{floats} of {len(self.quantized)} ops stay in float" if floats else "everything is quantized"
        self.explanation = (
            f"What was done: {did}. In the fastest plan by the search's own short measurements {kept}, "
            f"at {best.cost:.2f} of fp32's cost."
        )
        return "no plan is expected to improve on the best by enough to be worth a trial"


def _won(trial: Trial, base: Trial) -> bool:
    """Whether a region in float brought the output clearly nearer to fp32's, or nobody can say."""
    if trial.divergence is None or base.divergence is None:
        return trial.state is TrialState.COMPLETE
    return trial.divergence < _NEARER * base.divergence


class _Memory:
    """Answers what was asked before, so that one strategy goes on from another's trials."""

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], Trial | Findings] = {}

    @property
    def trials(self) -> list[Trial]:
        """All trials so far."""
        return [a for a in self._known.values() if isinstance(a, Trial)]

    def over(self, search: Generator[Proposal | Inquiry, Trial | Findings, str]) -> Search:
        """A search that asks only what is new."""
        try:
            asked = next(search)
            while True:
                key = _key(asked)
                if key not in self._known:
                    self._known[key] = yield asked
                asked = search.send(self._known[key])
        except StopIteration as end:
            return str(end.value or "")


def _key(asked: Proposal | Inquiry) -> tuple[object, ...]:
    if isinstance(asked, Inquiry):
        return asked.need, asked.plan.digest
    return asked.plan.digest, asked.samples, asked.latency, asked.exact, asked.deployed
