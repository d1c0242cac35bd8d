"""Stretches of the network that change together: prefixes, suffixes, blocks, op types.

An op that runs in float between quantized neighbours still reads and writes quantized tensors and pays for
the conversions, so moves are regions first and single ops last.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from autoq.core.space import Unit

PREFIXES = (1 / 12, 1 / 6, 1 / 4, 1 / 3, 1 / 2)
LONG_PREFIXES = (5 / 8, 3 / 4, 7 / 8)
SUFFIXES = (1 / 12, 1 / 6, 1 / 3)
BLOCKS = 6
FINEST = 16
"""Blocks of the finest cut; below it come single units."""


@dataclass(frozen=True, slots=True)
class Region:
    """Units that move together, and how to call them."""

    name: str
    units: frozenset[str]


def prefixes(units: Sequence[Unit], shares: Iterable[float] = PREFIXES) -> list[Region]:
    """The first so many units, by share of all, shortest first."""
    return _distinct(Region(f"first {n} ops", _ids(units[:n])) for n in _counts(len(units), shares))


def suffixes(units: Sequence[Unit], shares: Iterable[float] = SUFFIXES) -> list[Region]:
    """The last so many units, shortest first."""
    return _distinct(Region(f"last {n} ops", _ids(units[-n:])) for n in _counts(len(units), shares))


def blocks(units: Sequence[Unit], count: int = BLOCKS) -> list[Region]:
    """Equal consecutive blocks, in execution order."""
    edges = [round(i * len(units) / count) for i in range(count + 1)]
    spans = [(a, b) for a, b in itertools.pairwise(edges) if b > a]
    return [Region(f"ops {a + 1} to {b}", _ids(units[a:b])) for a, b in spans]


def by_type(units: Sequence[Unit]) -> list[Region]:
    """All units of one type, most frequent type first; empty when there is only one type."""
    found: dict[str, set[str]] = {}
    for unit in units:
        found.setdefault(unit.type, set()).add(unit.id)
    if len(found) < 2:
        return []
    ordered = sorted(found.items(), key=lambda item: -len(item[1]))
    return [Region(f"all {name}", frozenset(ids)) for name, ids in ordered]


def halves(units: Sequence[Unit]) -> list[Region]:
    """Two halves, four quarters ... `FINEST` blocks, then single units: coarse to fine, no region twice."""
    found: list[Region] = []
    count = 2
    while count < min(len(units), FINEST + 1):
        found += blocks(units, count)
        count *= 2
    found += [Region(unit.id, frozenset({unit.id})) for unit in units]
    return _distinct(found)


def _counts(total: int, shares: Iterable[float]) -> list[int]:
    if not total:
        return []
    return sorted({min(max(round(share * total), 1), total) for share in shares})


def _ids(units: Sequence[Unit]) -> frozenset[str]:
    return frozenset(u.id for u in units)


def _distinct(regions: Iterable[Region]) -> list[Region]:
    return list({r.units: r for r in regions}.values())
