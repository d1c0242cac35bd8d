"""A strategy written as one generator: it yields proposals and questions, and receives what came of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator
from typing import TypeVar

from autoq.core.inquiry import Findings, Inquiry, Need
from autoq.core.plan import FP32_PLAN, Done, Plan, Proposal, Wait
from autoq.core.space import Space
from autoq.core.strategy import Costs
from autoq.core.trial import Trial

T = TypeVar("T")

Steps = Generator[Proposal | Inquiry, Trial | Findings, T]
"""A part of a search: yields proposals and inquiries, receives trials and findings, returns what it is for."""

Search = Steps[str]
"""A whole search; returns why it ended."""


def tried(proposal: Proposal) -> Steps[Trial]:
    """A step that asks for a trial and returns it; to be used with ``yield from``."""
    answer = yield proposal
    assert isinstance(answer, Trial)
    return answer


def found(need: Need, plan: Plan) -> Steps[Findings]:
    """A step that asks a question and returns what was found; to be used with ``yield from``."""
    answer = yield Inquiry(need, plan)
    assert isinstance(answer, Findings)
    return answer


class Sequential(ABC):
    """Turns `search` into `ask` and `tell`, one open proposal or inquiry at a time.

    A subclass implements `search`; the baseline trial, and the rivals in float, have been told by the time it starts.
    """

    def __init__(self, space: Space, costs: Costs, seed: int) -> None:
        self.space = space
        self.costs = costs
        self.seed = seed
        self.baseline: Trial | None = None
        self.rivals: list[Trial] = []
        self._explanation = ""
        self._answered = 0
        self._fastest: Trial | None = None
        self._search: Search | None = None
        self._open: Proposal | Inquiry | None = None
        self._next: Proposal | Inquiry | Done | None = None

    @abstractmethod
    def search(self) -> Search:
        """The whole search. Must be deterministic given space, costs, seed and what is received."""

    @property
    def explanation(self) -> str:
        """What the search did, in its own words; while it has none, how far it came."""
        return self._explanation or self.progress()

    @explanation.setter
    def explanation(self, words: str) -> None:
        self._explanation = words

    def progress(self) -> str:
        """How far the search came: what the report says where a budget ended it."""
        count = f"{self._answered} plan{'' if self._answered == 1 else 's'} tried"
        if self._fastest is None:
            return f"{count}; none of them keeps the limit."
        note = f" ({self._fastest.proposal.note})" if self._fastest.proposal.note else ""
        cost = f"{self._fastest.objective:.2f} of fp32's cost"
        return f"{count}; the best that keeps the limit{note} takes {cost}."

    def known_plans(self) -> frozenset[Plan]:
        """Plans of the space that need no trial: fp32, and the rivals that were told."""
        return frozenset(p for p in (FP32_PLAN, *(t.plan for t in self.rivals)) if p in self.space)

    def ask(self) -> Proposal | Inquiry | Wait | Done:
        """The next proposal or inquiry; `Wait` while one is open."""
        if self._open is not None:
            return Wait()
        if self._search is None:
            self._search = self.search()
            self._next = self._advance(None)
        if isinstance(self._next, Proposal | Inquiry):
            self._open, self._next = self._next, None
            return self._open
        return self._next if self._next is not None else Wait()

    def tell(self, news: Trial | Findings) -> None:
        """A finished trial or findings: the baseline first, then answers to what was asked."""
        if isinstance(news, Findings):
            if news.inquiry == self._open:
                self._open = None
                self._next = self._advance(news)
        elif self._open is None:
            if news.number == 0:
                self.baseline = news
            else:
                self.rivals.append(news)
        elif isinstance(self._open, Proposal) and news.plan == self._open.plan:
            self._open = None
            self._note(news)
            self._next = self._advance(news)

    def _note(self, trial: Trial) -> None:
        self._answered += 1
        least = self._fastest.objective if self._fastest is not None else None
        if trial.accepted and trial.objective is not None and (least is None or trial.objective < least):
            self._fastest = trial

    def _advance(self, news: Trial | Findings | None) -> Proposal | Inquiry | Done:
        assert self._search is not None
        try:
            return next(self._search) if news is None else self._search.send(news)
        except StopIteration as end:
            return Done(str(end.value or ""))
