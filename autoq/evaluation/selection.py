"""What choosing the best of several does to its interval."""

from __future__ import annotations

from autoq.core.errors import EvaluationError


def corrected(confidence: float, candidates: int) -> float:
    """The confidence that each of several intervals needs so that all of them hold together with `confidence`.

    The best of k measured candidates looks better than it is, because it was chosen for looking best: an interval of
    95 % of its own then holds the truth in fewer than 95 % of cases. Where all k intervals hold, so does that of
    whichever is chosen, by whatever rule. Bonferroni's inequality (Dunn 1961, "Multiple comparisons among means")
    makes that sure with ``1 - (1 - confidence) / k`` for each, however the candidates depend on each other.

    Args:
        confidence: Wanted for the chosen one, e.g. .95.
        candidates: How many it was chosen from, k; one needs no correction.

    Returns:
        The confidence of each interval, at least `confidence` and below 1.

    Raises:
        EvaluationError: `confidence` does not lie between 0 and 1, or there is no candidate.
    """
    if not 0 < confidence < 1:
        raise EvaluationError(f"confidence must lie between 0 and 1, not {confidence}")
    if candidates < 1:
        raise EvaluationError(f"an interval is chosen from at least one candidate, not from {candidates}")
    return 1 - (1 - confidence) / candidates
