import pytest
from drawn_core import int8, table_of

from autoq.core.plan import FP32_PLAN, Done, Plan, Proposal, Wait
from autoq.core.space import Space
from autoq.core.strategy import Costs
from autoq.core.trial import Failure, FailureKind, Trial, TrialState
from autoq.strategies.sequential import Search, Sequential

FIRST, SECOND = Proposal(Plan({"a": int8()})), Proposal(Plan({"b": int8()}))


class Twice(Sequential):
    """Asks for two plans and remembers what it was answered."""

    answers: list[Trial]

    def search(self) -> Search:
        self.answers = []
        self.answers.append((yield FIRST))
        self.answers.append((yield SECOND))
        return "two plans are enough"


class Nothing(Sequential):
    """Has nothing to try."""

    def search(self) -> Search:
        yield from ()
        return "nothing to try"


def answer(number: int, proposal: Proposal, state: TrialState = TrialState.COMPLETE) -> Trial:
    failure = None if state is TrialState.COMPLETE else Failure(FailureKind.CRASH, "killed")
    return Trial(number, proposal, state, failure=failure)


def started(kind: type[Sequential] = Twice) -> Sequential:
    strategy = kind(Space.of(table_of(a="Conv", b="Conv")), Costs(), 0)
    strategy.tell(answer(0, Proposal(FP32_PLAN)))
    return strategy


def test_proposals_come_in_order_and_end_with_the_reason() -> None:
    strategy = started()
    assert strategy.ask() == FIRST
    strategy.tell(answer(1, FIRST))
    assert strategy.ask() == SECOND
    strategy.tell(answer(2, SECOND))
    assert strategy.ask() == Done("two plans are enough")


def test_done_is_final() -> None:
    strategy = started(Nothing)
    assert strategy.ask() == strategy.ask() == Done("nothing to try")


def test_it_waits_while_a_proposal_is_open() -> None:
    strategy = started()
    strategy.ask()
    assert isinstance(strategy.ask(), Wait)
    strategy.tell(answer(1, FIRST))
    assert strategy.ask() == SECOND


def test_the_search_receives_the_trial_of_its_proposal() -> None:
    strategy = started()
    assert isinstance(strategy, Twice)
    for number in (1, 2):
        asked = strategy.ask()
        assert isinstance(asked, Proposal)
        strategy.tell(answer(number, asked))
    assert [t.number for t in strategy.answers] == [1, 2]


@pytest.mark.parametrize("state", [TrialState.FAILED, TrialState.CRASHED])
def test_failed_trials_are_answers_too(state: TrialState) -> None:
    strategy = started()
    strategy.ask()
    strategy.tell(answer(1, FIRST, state))
    assert strategy.ask() == SECOND


def test_trials_of_other_plans_are_not_answers() -> None:
    strategy = started()
    strategy.ask()
    strategy.tell(answer(1, SECOND))
    assert isinstance(strategy.ask(), Wait)


def test_the_baseline_is_known_before_the_search_starts() -> None:
    strategy = started()
    assert strategy.baseline is not None
    assert strategy.baseline.plan == FP32_PLAN


def test_a_subclass_must_search() -> None:
    with pytest.raises(TypeError, match="search"):
        started(Sequential)
