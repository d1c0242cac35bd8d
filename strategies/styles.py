"""Uniform plans: one style (mode, width and granularity of weights, observer) for all units that have it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from autoq.core.precision import Granularity, Mode, Observer, OpPrecision
from autoq.core.space import Space

_MOST = 8
_BITS = 8
"""Width of weights that goes without saying."""


@dataclass(frozen=True)
class Style:
    """What precisions of different ops have in common.

    Attributes:
        mode: How they compute.
        granularity: Of the weights.
        observer: Of the activations.
        bits: Of the weights, where there are fewer than 8.
    """

    mode: Mode
    granularity: Granularity | None
    observer: Observer | None
    bits: int | None = None

    @classmethod
    def of(cls, precision: OpPrecision) -> Style:
        """The style of a precision."""
        bits = precision.weight.dtype.bits if precision.weight else _BITS
        observed = precision.mode is Mode.STATIC and precision.activation is not None
        return cls(
            precision.mode,
            precision.weight.granularity if precision.weight else None,
            precision.activation.observer if observed and precision.activation else None,
            bits if bits < _BITS else None,
        )

    def index_in(self, precisions: Sequence[OpPrecision]) -> int | None:
        """The first precision of this style; an op without a weight has no granularity to differ in."""
        for index, precision in enumerate(precisions):
            if not precision.is_float and Style.of(precision) in (self, Style(self.mode, None, self.observer)):
                return index
        return None

    def __str__(self) -> str:
        bits = f"{self.bits}-bit" if self.bits is not None else None
        return " ".join(str(part) for part in (self.mode, bits, self.granularity, self.observer) if part is not None)


@dataclass(frozen=True)
class Uniform:
    """A uniform plan: its name, and the choice of each unit that does not take its first precision."""

    name: str
    choices: Mapping[str, int]


def uniform_plans(space: Space) -> tuple[list[Uniform], list[Uniform]]:
    """Uniform plans as fast and as small as the fully quantized one, and others; eight styles at most.

    The others are of other modes, or of narrower weights.
    """
    styled = [u for u in space.units if u.is_quantizable]
    palettes = {id(u.precisions): u.precisions for u in styled}  # many ops share few lists
    every = dict.fromkeys(Style.of(p) for palette in palettes.values() for p in palette if not p.is_float)
    weighted = [s for s in every if s.granularity is not None] or list(every)
    usual_modes = {palette[0].mode for palette in palettes.values()}
    usual_bits = {Style.of(palette[0]).bits for palette in palettes.values()}
    usual: list[Uniform] = []
    others: list[Uniform] = []
    for style in weighted[:_MOST]:
        index = {key: style.index_in(palette) for key, palette in palettes.items()}
        having = {u.id: i for u in styled if (i := index[id(u.precisions)]) is not None}
        if style.mode in usual_modes:
            (usual if style.bits in usual_bits else others).append(Uniform(str(style), having))
            continue
        others.append(Uniform(str(style), having))
        rest = {u.id: i for u in styled if u.id not in having and (i := u.float_index) is not None}
        if rest:
            others.append(Uniform(f"{style}, other ops float", {**having, **rest}))
    return usual, others
