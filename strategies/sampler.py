"""Optuna's TPE over a few named parameters, in memory: asked for a point, told of any point that was tried."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from autoq.core.quiet import quiet
from autoq.core.trial import Trial

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

Values = Mapping[str, int | float]
"""A point: the value of each parameter, an index for a `Choice`."""

_WORST = 1e6
"""Cost and excess of a trial that failed."""


@dataclass(frozen=True)
class Choice:
    """One of so many alternatives, without an order."""

    count: int


@dataclass(frozen=True)
class Range:
    """A number between two bounds."""

    low: float
    high: float


class Sampler:
    """Tree-structured Parzen estimator, multivariate, with one constraint (Bergstra et al., 2011; Optuna's).

    What it suggests and what it is told are independent: every tried point may be told, whoever thought of it.
    The same seed and calls give the same suggestions.

    Args:
        parameters: What to choose, by name.
        seed: Of its random numbers.
        startup: Points it is told of before it stops suggesting at random.
    """

    def __init__(self, parameters: Mapping[str, Choice | Range], seed: int, *, startup: int = 10) -> None:
        from optuna import Study
        from optuna.samplers import TPESampler
        from optuna.storages import InMemoryStorage
        from optuna.study import StudyDirection

        self._distributions: dict[str, BaseDistribution] = {n: _distribution(p) for n, p in parameters.items()}
        storage = InMemoryStorage()
        with quiet("optuna.storages._in_memory"):
            storage.create_new_study([StudyDirection.MINIMIZE], "search")
        self._study = Study("search", storage, TPESampler(seed=seed, n_startup_trials=startup))

    def suggest(self) -> Values:
        """A point that promises a low cost within the constraint; may have been told before."""
        from optuna.trial import TrialState

        asked = self._study.ask(self._distributions)
        self._study.tell(asked, state=TrialState.FAIL)  # a failed trial counts for nothing; results come by `tell`
        return dict(asked.params)

    def tell(self, values: Values, trial: Trial) -> None:
        """What came of a point: its objective, and how far it is beyond the limit (excess; at most 0 is feasible)."""
        from optuna.trial import create_trial

        cost = trial.objective if trial.objective is not None else _WORST
        excess = trial.excess if not trial.met else min(trial.excess, 0.0)
        self._study.add_trial(
            create_trial(
                params=dict(values),
                distributions=self._distributions,
                value=min(cost, _WORST),
                constraints={"excess": min(excess, _WORST)},
            )
        )


def _distribution(parameter: Choice | Range) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    if isinstance(parameter, Choice):
        return CategoricalDistribution(tuple(range(parameter.count)))
    return FloatDistribution(parameter.low, parameter.high)
