"""How many samples a decision takes, and how often it is wrong, over simulated candidates.

``python -m benchmarks.sequential_simulation``: fp32 is right on 80 % of the samples (agreement: on all). A candidate
breaks some and repairs others, so that its loss is a given multiple of the limit. Flips are the share of samples that
it repairs, and breaks on top of its loss.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np

from autoq.core.criterion import ROUNDING, Criterion
from autoq.core.records import Records
from autoq.evaluation.metrics import make_metric
from autoq.evaluation.sequential.drops import Drops
from autoq.evaluation.sequential.loss_test import LossTest
from benchmarks.common import Cell, print_table, write_results

TRIALS = 200
FIRST = 64
"""Samples given at first; twice as many each time it is not decided."""

CONFIDENCE = 0.95
SAMPLES = (300, 2000, 10_000)
LIMITS = (0.01, 0.05)
LOSSES = (0.0, 0.5, 0.8, 1.0, 1.25, 2.0, 5.0)
"""As multiples of the limit; at 1 the loss is the largest that is allowed, and anything above breaks one more."""


@dataclass(frozen=True)
class Cases:
    """Candidates of one kind.

    Attributes:
        metric: Name; agreement has no labels, so that nothing can be repaired.
        samples: In all.
        limit: Relative loss allowed.
        loss: Of the candidate, as a multiple of the limit.
        flips: Share of samples that are repaired, and as many broken.
    """

    metric: str
    samples: int
    limit: float
    loss: float
    flips: float

    def scores(self) -> tuple[np.ndarray, np.ndarray]:
        """fp32's and the candidate's records, in no particular order."""
        count, repaired = self.samples, round(self.flips * self.samples)
        share = 1.0 if self.metric == "agreement" else 0.8
        allowed = int(np.floor(self.limit * share * count + ROUNDING))
        wanted = int(self.limit * share * count * self.loss + ROUNDING)
        lost = wanted if self.loss <= 1 else max(wanted, allowed + 1)
        if self.metric == "agreement":
            return np.zeros(count), (np.arange(count) < lost).astype(float)
        baseline = (np.arange(count) < share * count).astype(float)
        candidate = baseline.copy()
        candidate[: lost + repaired] = 0
        candidate[count - repaired :] = 1
        return baseline, candidate

    def trials(self, number: int) -> Iterator[tuple[int, bool]]:
        """Samples until each decision, and whether it is wrong; the samples in another random order each time."""
        baseline, candidate = self.scores()
        metric = make_metric(self.metric)
        criterion = Criterion(self.metric, self.limit, confidence=CONFIDENCE)
        generator = np.random.default_rng(0)
        for _ in range(number):
            order = generator.permutation(self.samples)
            known = Drops(criterion, metric, Records.of_rows(baseline[order]))
            test = LossTest(known, 1 - CONFIDENCE)
            drops = known.of(Records.of_rows(candidate[order]), 0)
            given, size = 0, FIRST
            while given < self.samples and test.accepted_at is None and test.rejected_at is None:
                test.add(drops[given : given + size])
                given, size = given + size, 2 * size
            taken = min(test.accepted_at or self.samples, test.rejected_at or self.samples)
            kept = known.loss(float(drops.mean())) <= self.limit + ROUNDING
            yield taken, taken < self.samples and (test.accepted_at == taken) != kept


def main() -> None:
    """Simulate and print."""
    rows: list[dict[str, Cell]] = []
    kinds = (("agreement", 0.0), ("accuracy", 0.0), ("accuracy", 0.01), ("accuracy", 0.05))
    for (metric, flips), samples, limit, loss in product(kinds, SAMPLES, LIMITS, LOSSES):
        found = list(Cases(metric, samples, limit, loss, flips).trials(TRIALS))
        taken = np.array([t for t, _ in found])
        rows.append(
            {
                "metric": metric,
                "samples": samples,
                "limit": limit,
                "loss / limit": loss,
                "flips": flips,
                "share scored": float(taken.mean() / samples),
                "median scored": float(np.median(taken)),
                "decided early": float((taken < samples).mean()),
                "wrong": sum(w for _, w in found) / TRIALS,
            }
        )
    print_table(f"Samples until a decision, {TRIALS} candidates each, confidence {CONFIDENCE}", rows)
    print(f"\n{write_results('sequential_simulation', rows)}")


if __name__ == "__main__":
    main()
