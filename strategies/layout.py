"""A space as arrays: each precision of each unit has one position, and each plan is one row of positions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autoq.core.plan import Plan
from autoq.core.precision import Mode
from autoq.core.space import Space

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]
Mask = NDArray[np.bool_]

_DOMAINS = {Mode.STATIC: 2, Mode.BF16: 1, Mode.FP16: 1}
"""What an op reads and writes: quantized tensors, half precision, else fp32 (dynamic and weight_only included)."""

_FLOAT_DOMAIN = 0


@dataclass(frozen=True)
class Row:
    """A plan in a layout.

    Attributes:
        positions: Position of the chosen precision of each unit, ``[units]``.
        boundaries: Which edges convert a tensor, ``[edges]``.
    """

    positions: Indices
    boundaries: Mask


class Layout:
    """Positions, domains and edges of a space.

    An edge is a boundary of a plan where its ends differ in domain: a tensor is quantized, dequantized or cast there.
    What feeds the first units and reads the last ones is float, so these have an edge to the outside too.

    Attributes:
        ids: Unit ids in execution order.
        offsets: First position of each unit and, at the end, the number of positions, ``[units + 1]``.
        unit: Unit of each position, ``[positions]``.
        domain: Domain of each position: 0 float, 1 half precision, 2 quantized.
        palette: Which of the distinct precisions each position is, ``[positions]``.
        quantized: Which positions are quantized.
        reference: Which positions are the float that a unit falls back to: no effect there.
        types: Op type of each unit as a number, ``[units]``.
        first, second: Units at the ends of each edge, ``[edges]``; the number of units stands for the outside.
    """

    def __init__(self, space: Space) -> None:
        units = space.units
        self.ids = [u.id for u in units]
        counts = [len(u.precisions) for u in units]
        self.offsets: Indices = np.concatenate([[0], np.cumsum(counts)]).astype(np.intp)
        self.unit: Indices = np.repeat(np.arange(len(units)), counts)
        palettes = {id(u.precisions): u.precisions for u in units}  # units share few lists
        distinct = {p: i for i, p in enumerate(dict.fromkeys(p for ps in palettes.values() for p in ps))}
        self.precisions = tuple(distinct)
        self._index = {key: {p: i for i, p in enumerate(ps)} for key, ps in palettes.items()}
        chosen = {key: [distinct[p] for p in ps] for key, ps in palettes.items()}
        self.palette: Indices = np.fromiter((i for u in units for i in chosen[id(u.precisions)]), np.intp)
        by_precision = np.array([_DOMAINS.get(p.mode, _FLOAT_DOMAIN) for p in self.precisions], np.intp)
        self.domain: Indices = by_precision[self.palette]
        self.quantized: Mask = np.array([not p.is_float for p in self.precisions])[self.palette]
        self.reference: Mask = np.zeros(len(self.palette), bool)
        floats = [(o, u.float_index) for o, u in zip(self.offsets, units, strict=False) if u.float_index is not None]
        self.reference[[int(o) + i for o, i in floats]] = True
        kinds = {name: i for i, name in enumerate(dict.fromkeys(u.type for u in units))}
        self.types: Indices = np.array([kinds[u.type] for u in units], np.intp)
        self._ops = [(u.ops[0].id, self._index[id(u.precisions)]) for u in units]
        self.first, self.second = _edges(space, {u: i for i, u in enumerate(self.ids)})

    def encode(self, choices: Mapping[str, int]) -> Row:
        """The row of a choice of precisions; a unit that is not named takes its first."""
        chosen = np.fromiter((choices.get(u, 0) for u in self.ids), np.intp, len(self.ids))
        return self.row(self.offsets[:-1] + chosen)

    def encode_plan(self, plan: Plan) -> Row | None:
        """The row of a plan, or None where it is not a plan of this space."""
        try:
            chosen = np.fromiter((index[plan[op]] for op, index in self._ops), np.intp, len(self.ids))
        except KeyError:
            return None
        return self.row(self.offsets[:-1] + chosen)

    def row(self, positions: Indices) -> Row:
        """A row from its positions."""
        domains = np.append(self.domain[positions], _FLOAT_DOMAIN)
        return Row(positions, domains[self.first] != domains[self.second])

    def choices(self, positions: Indices) -> dict[str, int]:
        """The inverse of `encode`."""
        return dict(zip(self.ids, (positions - self.offsets[:-1]).tolist(), strict=True))


def _edges(space: Space, index: Mapping[str, int]) -> tuple[Indices, Indices]:
    pairs = [(index[a], index[b]) for a, b in space.edges]
    outside = len(index)
    fed = {b for _, b in pairs}
    feeding = {a for a, _ in pairs}
    if pairs:
        pairs += [(outside, u) for u in range(outside) if u not in fed]
        pairs += [(u, outside) for u in range(outside) if u not in feeding]
    ends = np.array(pairs, np.intp).reshape(-1, 2)
    return ends[:, 0], ends[:, 1]
