"""From the fully quantized plan: choose styles, fall back in regions by impact per latency, re-quantize the rest."""

from __future__ import annotations

from collections.abc import Iterable

from autoq.strategies.points import CLEARLY, COMFORT, Point, PointSearch, Step, harms, no_worse
from autoq.strategies.regions import LONG_PREFIXES, Region, blocks, by_type, halves, prefixes, suffixes
from autoq.strategies.sequential import Search, Steps

_SINGLES = 24
_MOST_OF = 0.6


class Basic(PointSearch):
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

    def search(self) -> Search:
        """The whole search; see the class."""
        base, accepted = yield from self.uniform()
        base, accepted = yield from self._choose_types(base, accepted)
        if accepted is None:
            accepted = yield from self._fall_back(base)
        elif (faster := self.faster_uniform(accepted)) is not None:
            base, accepted = yield from self._beat(faster, base, accepted)
        if accepted is None and self.holds(base):
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
        best = yield from self.choose_recipes(best)
        floats = sum(1 for u in self.quantized if self.is_float(best, u.id))
        if floats:
            self.explanation = (
                f"Started from the fully quantized plan and left {floats} of {len(self.quantized)} ops in float, "
                "in regions ordered by accuracy won per latency lost. "
                "Then quantized again whatever the limit allowed and made the model faster."
            )
            return "nothing more could be quantized again within the limit"
        self.explanation = "Everything that can be quantized is, in the fastest style that keeps the limit."
        return "the fully quantized plan keeps the limit"

    def _choose_types(self, base: Point, accepted: Point | None) -> Steps[tuple[Point, Point | None]]:
        """Move whole op types to float where the plan gets faster by it and no less accurate."""
        total = sum(self.costs.saving(u) for u in self.quantized)
        for region in by_type(self.quantized):
            if self.saving(region.units) > _MOST_OF * total:
                continue  # in float, next to nothing would be left of the gain
            point = yield from self.attempt(self.in_float(base, region.units), f"{region.name} → float", base.recipes)
            if point.cost < CLEARLY * base.cost and no_worse(point.trial, base.trial):
                base = point
                accepted = (yield from self.confirm([point])) or accepted
        return base, accepted

    def _beat(self, faster: Point, base: Point, accepted: Point) -> Steps[tuple[Point, Point]]:
        """Regions of a faster uniform plan in float, where they beat the accepted one; what to go on from."""
        units = self.quantized
        regions = [*prefixes(units), *suffixes(units), *blocks(units)]
        tried, better = yield from self._try_regions(faster, regions, accepted)
        if better is accepted:
            better = (yield from self.confirm((yield from self._accumulate(faster, tried)), accepted)) or accepted
        assert better is not None
        return (base if better is accepted else faster), better

    def _fall_back(self, base: Point) -> Steps[Point | None]:
        """Regions in float until the limit holds; None when nothing helps."""
        units = self.quantized
        tried, accepted = yield from self._try_regions(base, [*prefixes(units), *suffixes(units), *blocks(units)])
        if accepted is None and self.holds(base):
            return None  # what is lost is speed, and no region in float brought it back
        if accepted is None:
            accepted = yield from self.confirm((yield from self._accumulate(base, tried)))
        if accepted is None:
            _, accepted = yield from self._try_regions(base, prefixes(units, LONG_PREFIXES))
        if accepted is None:
            cheap = sorted(units, key=self.costs.saving)[:_SINGLES]
            alone, accepted = yield from self._try_regions(base, [Region(u.id, frozenset({u.id})) for u in cheap])
            if accepted is None:
                accepted = yield from self.confirm((yield from self._accumulate(base, tried + alone)))
        return accepted

    def _try_regions(
        self, base: Point, regions: Iterable[Region], accepted: Point | None = None
    ) -> Steps[tuple[list[tuple[Region, Point]], Point | None]]:
        """Each region in float, alone, and the best that is accepted.

        As soon as one is accepted, those that are bound to be slower by the seconds of their ops are left out.
        """
        tried: list[tuple[Region, Point]] = []
        spent = sum(self.costs.float_seconds.values())
        for region in regions:
            if accepted is not None and spent and base.cost + self.saving(region.units) / spent > accepted.cost:
                continue
            point = yield from self.attempt(self.in_float(base, region.units), f"{region.name} → float", base.recipes)
            tried.append((region, point))
            if point.trial.excess < COMFORT:
                accepted = (yield from self.confirm([point], accepted)) or accepted
        return tried, (yield from self.confirm((p for _, p in tried), accepted)) or accepted

    def _accumulate(self, base: Point, tried: list[tuple[Region, Point]]) -> Steps[list[Point]]:
        """Add up regions in the order of accuracy won per latency lost; every plan passed on the way."""
        before, *after = harms([base.trial, *(p.trial for _, p in tried)])
        won = [(r, before - h, max(p.cost - base.cost, 1e-3)) for (r, p), h in zip(tried, after, strict=True)]
        ranked = sorted((w for w in won if w[1] > 0), key=lambda w: -w[1] / w[2])
        reached: list[Point] = []
        moved: frozenset[str] = frozenset()
        for region, _, _ in ranked:
            if region.units <= moved:
                continue
            moved |= region.units
            if len(moved) >= len(self.quantized):
                break
            point = yield from self.attempt(self.in_float(base, moved), f"+ {region.name} → float", base.recipes)
            reached.append(point)
            if point.trial.met and point.trial.excess < COMFORT:
                break
        return reached

    def _requantize(self, accepted: Point, base: Point) -> Step:
        """Quantize parts of the float regions again, coarse to fine, while it is accepted and faster."""
        best = accepted
        floats = [u for u in self.quantized if self.is_float(best, u.id)]
        singles = {u.id for u in sorted(floats, key=self.costs.saving, reverse=True)[:_SINGLES]}
        for region in halves(floats):
            if len(region.units) == 1 and not region.units <= singles:
                continue
            if not any(self.is_float(best, unit) for unit in region.units):
                continue
            choices = {**best.choices, **{u: self.quantized_index(base, u) for u in region.units}}
            note = f"{region.name} quantized again"
            point = yield from self.attempt(choices, note, best.recipes)
            if not point.trial.met or point.cost >= best.cost:
                continue
            if not point.trial.full:
                point = yield from self.attempt(choices, note, best.recipes, full=True)
            if point.trial.accepted and point.cost < best.cost:
                best = point
        return best
