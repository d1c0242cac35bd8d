"""Intervals of a winner: what was chosen as the best of several looks better than it is."""

from __future__ import annotations


def corrected(confidence: float, candidates: int) -> float:
    """Confidence of each of several intervals such that all hold together with `confidence`.

    Bonferroni's inequality (Dunn 1961): ``1 - (1 - confidence) / candidates``; it holds however the intervals depend
    on each other, and so for whichever candidate is chosen after looking at them.

    Args:
        confidence: Wanted of all together, above 0 and below 1.
        candidates: How many are looked at; at least 1.
    """
    return 1 - (1 - confidence) / max(candidates, 1)
