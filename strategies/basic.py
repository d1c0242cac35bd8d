"""From the fully quantized plan: choose styles, fall back in regions by impact per latency, re-quantize the rest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from autoq.core.capability import Recipe
from autoq.core.errors import ConfigError
from autoq.core.plan import Proposal
from autoq.core.precision import Granularity, Mode, Observer, OpPrecision
from autoq.core.space import Space
from autoq.core.strategy import Costs
from autoq.core.trial import Trial
from autoq.strategies.regions import LONG_PREFIXES, Region, blocks, by_type, halves, prefixes, suffixes
from autoq.strategies.sequential import Search, Sequential, Steps, tried

_WORTH_SCREENING = 1.5
"""Seconds of a full evaluation below which screening on fewer samples saves nothing."""

_LEAST_SCREEN = 64
_FULL_TRIES = 4
_SINGLES = 24
_STYLES = 8
_COMFORT = -0.2
"""Excess from which on a screened plan is believed to hold the limit on all samples, too."""

_CLEARLY = 0.97
"""Share of the cost below which a plan counts as faster in spite of the noise of a quick measurement."""

_MOST_OF = 0.6


@dataclass(frozen=True)
class _Point:
    """A place in the space: the choice of every unit and the recipes, and the trial that was made of it."""

    choices: Mapping[str, int]
    trial: Trial

    @property
    def cost(self) -> float:
        return self.trial.objective if self.trial.objective is not None else float("inf")

    @property
    def recipes(self) -> tuple[Recipe, ...]:
        return self.trial.plan.recipes


Step = Steps[_Point]


class Basic(Sequential):
    """Greedy search in the manner of the field's classic, in regions and with measured latency.

    1. The fully quantized plan, and where it loses too much its variants: one style (mode, granularity,
       observer) for all ops that have it. Styles of another mode are tried in any case: they differ in speed.
       So are the recipes that may act on a plan as a whole (e.g. what is left in float runs in bf16).
    2. Op types in float, where that is faster.
    3. When the limit does not hold: prefixes, suffixes and blocks in float, ranked by accuracy won per
       latency lost; accumulated until the limit holds. Then single ops, where regions were not enough.
       Regions that cannot beat what is already accepted, by the measured seconds of their ops, are left out.
    4. When it holds: parts of what runs in float are quantized again, coarse to fine, while the limit holds
       and the plan gets faster. At last the other recipes are tried on what was found.

    Trials are screened on few samples where a full evaluation is expensive; a plan that counts is always
    scored on all of them. A search needs some 10 to 120 trials, hardly growing with the number of ops; an
    ask costs time linear in the number of ops.

    Args:
        space: What may be chosen.
        costs: Seconds by op, for the order in which ops are tried.
        seed: Not used: the search is deterministic.
        screen: Samples of a screening; by default a third of all, at least 64.
    """

    def __init__(self, space: Space, costs: Costs, seed: int, *, screen: int | None = None) -> None:
        super().__init__(space, costs, seed)
        if screen is not None and screen < 1:
            raise ConfigError(f"strategy.screen must be at least 1, not {screen}")
        self._screen = screen if screen is not None else self._default_screen()
        self._styled = [u for u in space.units if u.is_quantizable]
        self._quantized = [u for u in self._styled if u.float_index is not None]
        self._seen: dict[tuple[str, bool], Trial] = {}

    def search(self) -> Search:
        """The whole search; see the class."""
        base, accepted = yield from self._start()
        if accepted is None:
            accepted = yield from self._fall_back(base)
        if accepted is None and self._holds(base):
            self.explanation = (
                f"Fully quantized, the model keeps the limit but takes {base.cost:.2f} times what fp32 takes. "
                "Neither an op type nor a region in float makes a plan that is faster than fp32."
            )
            return "plans within the limit are no faster than fp32"
        if accepted is None:
            self.explanation = (
                "No combination of regions and single ops in float kept the limit. "
                f"Fully quantized, the best style loses {base.trial.excess + 1:.1f} times what is allowed."
            )
            return "every fallback was tried and none keeps the limit"
        best = yield from self._requantize(accepted, base)
        best = yield from self._choose_recipes(best)
        floats = sum(1 for u in self._quantized if self._is_float(best, u.id))
        if floats:
            self.explanation = (
                f"Started from the fully quantized plan and left {floats} of {len(self._quantized)} ops in float, "
                "in regions ordered by accuracy won per latency lost. "
                "Then quantized again whatever the limit allowed and made the model faster."
            )
            return "nothing more could be quantized again within the limit"
        self.explanation = "Everything that can be quantized is, in the fastest style that keeps the limit."
        return "the fully quantized plan keeps the limit"

    # -- steps -------------------------------------------------------------------------------------------------

    def _start(self) -> Steps[tuple[_Point, _Point | None]]:
        """The uniform plan to start from, and the accepted one if uniform plans are enough."""
        usual, others = self._styles()
        points = [(yield from self._try({}, "fully quantized"))]
        for name, choices in others:
            points.append((yield from self._try(choices, name)))
        accepted = yield from self._confirm(points)
        if accepted is None:
            for name, choices in usual:
                points.append((yield from self._try(choices, name)))
            accepted = yield from self._confirm(points)
        base = accepted or min(points, key=lambda p: (p.trial.excess, p.cost))
        base, accepted = yield from self._start_recipes(base, accepted)
        if accepted is None and base.trial.met and base.cost >= 1:
            yield from self._try(base.choices, "scored in full", base.recipes, full=True)
        return (yield from self._choose_types(base, accepted))

    def _start_recipes(self, base: _Point, accepted: _Point | None) -> Steps[tuple[_Point, _Point | None]]:
        """The uniform plan under each recipe, where it gets faster by it and no less accurate."""
        for recipes in self._other_recipes(base):
            point = yield from self._try(base.choices, f"the same with {_named(recipes)}", recipes)
            if point.cost < _CLEARLY * base.cost and (point.trial.met or point.trial.excess <= base.trial.excess):
                base = point
                accepted = (yield from self._confirm([point], accepted)) or accepted
        return base, accepted

    def _choose_recipes(self, best: _Point) -> Step:
        """What was found under each of the other recipes; the fastest that is accepted."""
        for recipes in self._other_recipes(best):
            point = yield from self._try(best.choices, f"the best so far with {_named(recipes)}", recipes)
            best = (yield from self._confirm([point], best)) or best
        return best

    def _other_recipes(self, point: _Point) -> list[tuple[Recipe, ...]]:
        return [recipes for recipes in self.space.recipe_sets if recipes != point.recipes]

    def _choose_types(self, base: _Point, accepted: _Point | None) -> Steps[tuple[_Point, _Point | None]]:
        """Move whole op types to float where the plan gets faster by it and no less accurate."""
        total = sum(self.costs.saving(u) for u in self._quantized)
        for region in by_type(self._quantized):
            if self._saving(region.units) > _MOST_OF * total:
                continue  # in float, next to nothing would be left of the gain
            point = yield from self._try(self._float(base, region.units), f"{region.name} → float", base.recipes)
            if point.cost < _CLEARLY * base.cost and (point.trial.met or point.trial.excess <= base.trial.excess):
                base = point
                accepted = (yield from self._confirm([point])) or accepted
        return base, accepted

    def _fall_back(self, base: _Point) -> Steps[_Point | None]:
        """Regions in float until the limit holds; None when nothing helps."""
        units = self._quantized
        tried, accepted = yield from self._try_regions(base, [*prefixes(units), *suffixes(units), *blocks(units)])
        if accepted is None and self._holds(base):
            return None  # what is lost is speed, and no region in float brought it back
        if accepted is None:
            accepted = yield from self._confirm((yield from self._accumulate(base, tried)))
        if accepted is None:
            _, accepted = yield from self._try_regions(base, prefixes(units, LONG_PREFIXES))
        if accepted is None:
            cheap = sorted(units, key=self.costs.saving)[:_SINGLES]
            alone, accepted = yield from self._try_regions(base, [Region(u.id, frozenset({u.id})) for u in cheap])
            if accepted is None:
                accepted = yield from self._confirm((yield from self._accumulate(base, tried + alone)))
        return accepted

    def _try_regions(
        self, base: _Point, regions: Iterable[Region]
    ) -> Steps[tuple[list[tuple[Region, _Point]], _Point | None]]:
        """Each region in float, alone, and the best that is accepted.

        As soon as one is accepted, those that are bound to be slower by the seconds of their ops are left out.
        """
        tried: list[tuple[Region, _Point]] = []
        accepted: _Point | None = None
        spent = sum(self.costs.float_seconds.values())
        for region in regions:
            if accepted is not None and spent and base.cost + self._saving(region.units) / spent > accepted.cost:
                continue
            point = yield from self._try(self._float(base, region.units), f"{region.name} → float", base.recipes)
            tried.append((region, point))
            if point.trial.excess < _COMFORT:
                accepted = (yield from self._confirm([point], accepted)) or accepted
        return tried, (yield from self._confirm((p for _, p in tried), accepted)) or accepted

    def _accumulate(self, base: _Point, tried: list[tuple[Region, _Point]]) -> Steps[list[_Point]]:
        """Add up regions in the order of accuracy won per latency lost; every plan passed on the way."""
        won = [(r, base.trial.excess - p.trial.excess, max(p.cost - base.cost, 1e-3)) for r, p in tried]
        ranked = sorted((w for w in won if w[1] > 0), key=lambda w: -w[1] / w[2])
        reached: list[_Point] = []
        moved: frozenset[str] = frozenset()
        for region, _, _ in ranked:
            if region.units <= moved:
                continue
            moved |= region.units
            if len(moved) >= len(self._quantized):
                break
            point = yield from self._try(self._float(base, moved), f"+ {region.name} → float", base.recipes)
            reached.append(point)
            if point.trial.met and point.trial.excess < _COMFORT:
                break
        return reached

    def _requantize(self, accepted: _Point, base: _Point) -> Step:
        """Quantize parts of the float regions again, coarse to fine, while it is accepted and faster."""
        best = accepted
        floats = [u for u in self._quantized if self._is_float(best, u.id)]
        singles = {u.id for u in sorted(floats, key=self.costs.saving, reverse=True)[:_SINGLES]}
        for region in halves(floats):
            if len(region.units) == 1 and not region.units <= singles:
                continue
            if not any(self._is_float(best, unit) for unit in region.units):
                continue
            choices = {**best.choices, **{u: self._quantized_index(base, u) for u in region.units}}
            note = f"{region.name} quantized again"
            point = yield from self._try(choices, note, best.recipes)
            if not point.trial.met or point.cost >= best.cost:
                continue
            if not point.trial.full:
                point = yield from self._try(choices, note, best.recipes, full=True)
            if point.trial.accepted and point.cost < best.cost:
                best = point
        return best

    def _confirm(self, points: Iterable[_Point], accepted: _Point | None = None) -> Steps[_Point | None]:
        """The fastest of the points that holds the limit on all samples and beats what is accepted, or None."""
        bar = accepted.cost if accepted is not None else 1.0
        passing = sorted((p for p in points if p.trial.met and p.cost < bar), key=lambda p: p.cost)
        for point in passing[:_FULL_TRIES]:
            full = point
            if not point.trial.full:
                full = yield from self._try(point.choices, "scored in full", point.recipes, full=True)
            if full.trial.accepted:
                return full
        return None

    # -- helpers -----------------------------------------------------------------------------------------------

    def _try(
        self, choices: Mapping[str, int], note: str, recipes: tuple[Recipe, ...] = (), *, full: bool = False
    ) -> Step:
        plan = self.space.plan(choices, recipes)
        whole = full or self._screen is None
        known = self._seen.get((plan.digest, True)) or self._seen.get((plan.digest, whole))
        if known is None:
            known = yield from tried(Proposal(plan, None if whole else self._screen, note=note))
            self._seen[plan.digest, known.full or whole] = known
        return _Point(choices, known)

    def _holds(self, base: _Point) -> bool:
        """Whether the plan to start from keeps the limit on all samples, so that only its speed is in the way."""
        known = self._seen.get((base.trial.plan.digest, True))
        return known is not None and known.accepted

    def _float(self, base: _Point, units: Iterable[str]) -> dict[str, int]:
        return {**base.choices, **{u: self.space.by_id[u].float_index or 0 for u in units}}

    def _is_float(self, point: _Point, unit: str) -> bool:
        return self.space.by_id[unit].precisions[point.choices.get(unit, 0)].is_float

    def _quantized_index(self, base: _Point, unit: str) -> int:
        return 0 if self._is_float(base, unit) else base.choices.get(unit, 0)

    def _saving(self, units: Iterable[str]) -> float:
        return sum(self.costs.saving(self.space.by_id[u]) for u in units)

    def _styles(self) -> tuple[list[tuple[str, dict[str, int]]], list[tuple[str, dict[str, int]]]]:
        """Names and choices of uniform plans: of the modes the fully quantized plan has, and of other modes."""
        palettes = {id(u.precisions): u.precisions for u in self._styled}  # many ops share few lists
        every = dict.fromkeys(_style(p) for palette in palettes.values() for p in palette if not p.is_float)
        weighted = [s for s in every if s.granularity is not None] or list(every)
        usual_modes = {palette[0].mode for palette in palettes.values()}
        usual: list[tuple[str, dict[str, int]]] = []
        others: list[tuple[str, dict[str, int]]] = []
        for style in weighted[:_STYLES]:
            index = {key: _index_of(palette, style) for key, palette in palettes.items()}
            having = {u.id: i for u in self._styled if (i := index[id(u.precisions)]) is not None}
            if style.mode in usual_modes:
                usual.append((str(style), having))
                continue
            others.append((str(style), having))
            rest = {u.id: u.float_index or 0 for u in self._quantized if u.id not in having}
            if rest:
                others.append((f"{style}, other ops float", {**having, **rest}))
        return usual, others

    def _default_screen(self) -> int | None:
        samples = self.costs.samples
        if self.costs.sequential:
            return None  # an evaluation that stops when it is decided screens by itself
        if samples * self.costs.score_seconds < _WORTH_SCREENING or samples <= _LEAST_SCREEN:
            return None
        return min(max(_LEAST_SCREEN, samples // 3), samples)


@dataclass(frozen=True)
class _Style:
    """What precisions of different ops have in common."""

    mode: Mode
    granularity: Granularity | None
    observer: Observer | None

    def __str__(self) -> str:
        return " ".join(str(part) for part in (self.mode, self.granularity, self.observer) if part is not None)


def _named(recipes: Sequence[Recipe]) -> str:
    return ", ".join(recipe.label for recipe in recipes) or "no recipe"


def _style(precision: OpPrecision) -> _Style:
    observed = precision.mode is Mode.STATIC and precision.activation is not None
    return _Style(
        precision.mode,
        precision.weight.granularity if precision.weight else None,
        precision.activation.observer if observed and precision.activation else None,
    )


def _index_of(precisions: Sequence[OpPrecision], style: _Style) -> int | None:
    """The first precision of a style; an op without a weight has no granularity to differ in."""
    for index, precision in enumerate(precisions):
        found = _style(precision)
        if not precision.is_float and found in (style, _Style(style.mode, None, style.observer)):
            return index
    return None
