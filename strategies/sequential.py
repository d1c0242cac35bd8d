"""A strategy written as one generator: it yields a proposal and receives the finished trial."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator

from autoq.core.plan import FP32_PLAN, Done, Plan, Proposal, Wait
from autoq.core.space import Space
from autoq.core.strategy import Costs
from autoq.core.trial import Trial

Search = Generator[Proposal, Trial, str]
"""Yields proposals, receives trials, returns why it ended."""


class Sequential(ABC):
    """Turns `search` into `ask` and `tell`, one open proposal at a time.

    A subclass implements `search`; the baseline trial, and the rivals in float, have been told by the time it starts.
    """

    def __init__(self, space: Space, costs: Costs, seed: int) -> None:
        self.space = space
        self.costs = costs
        self.seed = seed
        self.baseline: Trial | None = None
        self.rivals: list[Trial] = []
        self._search: Search | None = None
        self._open: Proposal | None = None
        self._next: Proposal | Done | None = None

    @abstractmethod
    def search(self) -> Search:
        """The whole search. Must be deterministic given space, costs, seed and the trials received."""

    def known_plans(self) -> frozenset[Plan]:
        """Plans of the space that need no trial: fp32, and the rivals that were told."""
        return frozenset(p for p in (FP32_PLAN, *(t.plan for t in self.rivals)) if p in self.space)

    def ask(self) -> Proposal | Wait | Done:
        """The next proposal; `Wait` while one is open."""
        if self._open is not None:
            return Wait()
        if self._search is None:
            self._search = self.search()
            self._next = self._advance(None)
        if isinstance(self._next, Proposal):
            self._open, self._next = self._next, None
            return self._open
        return self._next if self._next is not None else Wait()

    def tell(self, trial: Trial) -> None:
        """A finished trial: the baseline first, then answers to what was asked."""
        if self._open is None:
            if trial.number == 0:
                self.baseline = trial
            else:
                self.rivals.append(trial)
            return
        if trial.plan == self._open.plan:
            self._open = None
            self._next = self._advance(trial)

    def _advance(self, trial: Trial | None) -> Proposal | Done:
        assert self._search is not None
        try:
            return next(self._search) if trial is None else self._search.send(trial)
        except StopIteration as end:
            return Done(str(end.value or ""))
