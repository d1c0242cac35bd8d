"""Resampling, vectorized for means."""

from __future__ import annotations

import math

import numpy as np
from scipy import special

from autoq.core.records import Records
from autoq.evaluation.metrics.base import Floats

_CHUNK = 4_000_000
_MEAN_WORK = 20_000_000
_WORK = 4_000_000
_LEAST = 100


def mean_replicates(columns: Floats, seed: int, resamples: int) -> Floats:
    """Bootstrap means ``[resamples, rows]`` of the rows of ``[rows, samples]``, all with the same resamples.

    Draws multinomial counts (how often each sample is taken) in chunks, so that memory stays bounded. Equal samples
    are drawn as one group, which is the same distribution and makes right-or-wrong scores cheap. Beyond 20 million
    counts there are fewer resamples, down to 200.
    """
    generator = np.random.default_rng(seed)
    samples = columns.shape[1]
    _, first, sizes = np.unique(columns, axis=1, return_index=True, return_counts=True)
    # In order of first appearance, so that the draws do not depend on sign or scale.
    order = np.argsort(first)
    groups, shares = columns[:, first[order]], sizes[order] / samples
    parts = []
    left = min(resamples, max(200, _MEAN_WORK // len(shares)))
    while left > 0:
        size = max(1, min(left, _CHUNK // len(shares)))
        counts = generator.multinomial(samples, shares, size=size)
        parts.append(counts @ groups.T / samples)
        left -= size
    return np.concatenate(parts)


def affordable_resamples(records: Records, overhead: int, resamples: int) -> int:
    """Replicates that a metric of the whole set can afford: fewer for larger records, never below 100.

    Counted from the size of the records and not by the clock, so that equal seeds give equal intervals.
    """
    work = overhead + records.values.size + 4 * len(records)
    return max(min(resamples, _LEAST), min(resamples, _WORK // max(work, 1)))


def expanded_level(samples: int, confidence: float) -> float:
    """Tail of a percentile interval, widened for small sets.

    ``Phi(-sqrt(n / (n - 1)) t)`` with the Student quantile t of n - 1 degrees of freedom (Hesterberg 2015, "What
    Teachers Should Know About the Bootstrap", section 5.3), which makes the percentile interval of a mean as wide
    as Student's.
    """
    if samples < 2:
        return 0.0
    quantile = float(special.stdtrit(samples - 1, (1 + confidence) / 2))
    return float(special.ndtr(-math.sqrt(samples / (samples - 1)) * quantile))


def quantile_pair(replicates: Floats, tail: float) -> tuple[float, float]:
    """The replicates' order statistics that leave `tail` outside at each end; infinities are allowed."""
    ordered = np.sort(replicates)
    skip = math.floor(tail * len(ordered))
    return float(ordered[skip]), float(ordered[len(ordered) - 1 - skip])
