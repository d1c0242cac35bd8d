"""What every strategy must do. Subclass `StrategyContract`, name the strategy, inherit every test."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, ClassVar

import pytest

from autoq.core.inquiry import Findings, Inquiry
from autoq.core.interval import Interval
from autoq.core.plan import FP32_PLAN, Done, Plan, Proposal, Wait
from autoq.core.registry import strategy_factory
from autoq.core.space import Space
from autoq.core.strategy import Costs, Strategy
from autoq.core.trial import Failure, FailureKind, Latency, MetricScore, Trial, TrialState
from autoq.testing.toy import ToyAdaptor, ToyModel, ToyOp, best_plan

LIMIT = 1.0


def toy_model(noises: tuple[float, ...] = (3.0, 2.0, 0.1, 0.1, 0.1, 1.5, 0.1, 0.1)) -> ToyModel:
    """A chain in which each op noisier than `LIMIT` must stay float, and all the others may be int8."""
    return ToyModel(tuple(ToyOp(f"op{i}", noise=noise) for i, noise in enumerate(noises)))


def toy_trial(model: ToyModel, number: int, proposal: Proposal, samples: int = 100) -> Trial:
    """What a toy model answers to a proposal: noise is the loss, simulated time the latency."""
    plan, count = proposal.plan, proposal.samples or samples
    ratio = model.seconds(plan) / model.seconds(FP32_PLAN)
    noise = model.noise(plan)
    score = MetricScore("noise", -noise, 0.0, Interval(noise, noise, noise), LIMIT, noise <= LIMIT, count)
    latency = Latency(model.seconds(plan), model.seconds(FP32_PLAN), Interval(ratio, ratio, ratio), 10)
    return Trial(
        number,
        proposal,
        TrialState.COMPLETE,
        (score,),
        latency,
        objective=ratio,
        realized=plan,
        full=count >= samples,
        divergence=noise,
    )


def toy_findings(model: ToyModel, inquiry: Inquiry) -> Findings:
    """What a toy model answers to an inquiry: whatever is asked, an op's error is its noise."""
    units = Space.of(ToyAdaptor().capabilities(model)).units
    noise = {op.id: op.noise for op in model.ops}
    asked = (u for u in units if not inquiry.plan[u.ops[0].id].is_float)
    return Findings(inquiry, {u.id: sum(noise[op.id] for op in u.ops) for u in asked})


Answer = Callable[[ToyModel, Inquiry], Findings]
"""How the inquiries of a strategy are answered."""


def no_findings(model: ToyModel, inquiry: Inquiry) -> Findings:
    """What a framework answers that does not have what is asked for."""
    del model
    return Findings(inquiry, reason="not available here")


def some_findings(model: ToyModel, inquiry: Inquiry) -> Findings:
    """What is answered when time is up half way: every other unit is missing."""
    values = list(toy_findings(model, inquiry).values.items())
    return Findings(inquiry, dict(values[::2]), "stopped at its time limit")


def drive(
    strategy: Strategy,
    model: ToyModel,
    trials: int,
    failing: frozenset[str] = frozenset(),
    samples: int = 100,
    answer: Answer = toy_findings,
) -> list[Trial]:
    """Run a strategy against a toy model; plans that quantize an op of `failing` fail."""
    history = [toy_trial(model, 0, Proposal(FP32_PLAN), samples)]
    for recipes in model.float_recipes:
        history.append(toy_trial(model, len(history), Proposal(Plan({}, recipes), deployed=True), samples))
    for known in history:
        strategy.tell(known)
    while len(history) <= trials:
        asked = strategy.ask()
        if isinstance(asked, Done):
            break
        if isinstance(asked, Inquiry):
            strategy.tell(answer(model, asked))
            continue
        assert not isinstance(asked, Wait), "the strategy waits although no trial is open"
        if failing & set(asked.plan):
            failure = Failure(FailureKind.CRASH, "killed")
            history.append(Trial(len(history), asked, TrialState.CRASHED, failure=failure))
        else:
            history.append(toy_trial(model, len(history), asked, samples))
        strategy.tell(history[-1])
    return history


def best_accepted(history: list[Trial]) -> Plan:
    """The accepted plan with the smallest objective; fp32 when there is none."""
    accepted = [t for t in history if t.accepted]
    return min(accepted, key=lambda t: t.objective if t.objective is not None else 1.0).plan


class StrategyContract:
    """Inherit, set `name`, and run with pytest."""

    name: ClassVar[str]
    options: ClassVar[Mapping[str, Any]] = {}
    trials: ClassVar[int] = 400
    """Trials within which it must find the optimum of an 8-op model."""

    def make(self, model: ToyModel, seed: int = 0) -> Strategy:
        """A fresh strategy for a toy model."""
        space = Space.of(ToyAdaptor().capabilities(model))
        costs = Costs(
            {op.id: op.float_seconds for op in model.ops}, {op.id: op.int8_seconds for op in model.ops}, 100, 0.001
        )
        return strategy_factory(self.name)(space, costs, seed, **self.options)

    @pytest.mark.parametrize("noises", [(3.0, 2.0, 0.1, 0.1, 0.1, 1.5, 0.1, 0.1), (0.01,) * 8, (0.05,) * 7 + (9.0,)])
    def test_finds_the_known_optimum(self, noises: tuple[float, ...]) -> None:
        """On a small chain it ends with the fastest plan within the limit."""
        model = toy_model(noises)
        history = drive(self.make(model), model, self.trials)
        found, known = best_accepted(history), best_plan(model, LIMIT)
        assert model.seconds(found) == pytest.approx(model.seconds(known))

    def test_finds_the_known_optimum_among_recipes(self) -> None:
        """Recipes of the space are part of the search, and make what stays in float faster."""
        model = replace(toy_model((3.0, 2.0, 0.1, 0.1, 1.5, 0.1)), half_speed=0.7, half_noise=0.05)
        known = best_plan(model, LIMIT)
        found = best_accepted(drive(self.make(model), model, self.trials))
        assert known.recipes
        assert model.seconds(found) == pytest.approx(model.seconds(known))

    def test_never_asks_for_what_it_was_told(self) -> None:
        """fp32 and the rivals in float were measured before the search."""
        model = replace(toy_model((0.1,) * 4), half_speed=0.7)
        history = drive(self.make(model), model, self.trials)
        assert not [t for t in history[1 + len(model.float_recipes) :] if not t.plan.precisions]

    def test_same_seed_gives_the_same_proposals(self) -> None:
        """It is a pure function of space, costs, seed and what it was told."""
        model = toy_model()
        first = drive(self.make(model), model, 40)
        again = drive(self.make(model), model, 40)
        assert [t.proposal for t in first] == [t.proposal for t in again]

    def test_never_asks_twice_for_the_same(self) -> None:
        """A plan and its number of samples are asked for once."""
        model = toy_model()
        asked = [(t.plan.digest, t.proposal.samples) for t in drive(self.make(model), model, self.trials)]
        assert len(set(asked)) == len(asked)

    def test_ends_by_itself(self) -> None:
        """On a space of 256 plans it is done before it runs out of plans."""
        model = toy_model()
        history = drive(self.make(model), model, 600)
        assert len(history) < 600

    def test_goes_on_after_failed_trials(self) -> None:
        """Plans that crash are avoided, and the best of the others is found."""
        model = toy_model((0.1,) * 6)
        failing = frozenset({"op2"})
        history = drive(self.make(model), model, self.trials, failing)
        usable = Plan({op.id: p for op in model.ops if op.id != "op2" for p in [_int8(model, op.id)]})
        assert model.seconds(best_accepted(history)) == pytest.approx(model.seconds(usable))

    def test_proposes_only_plans_of_its_space(self) -> None:
        """Every plan can be read back as choices."""
        model = toy_model()
        space = Space.of(ToyAdaptor().capabilities(model))
        for trial in drive(self.make(model), model, 60):
            assert space.plan(space.choices(trial.plan)) == trial.plan

    def test_respects_groups(self) -> None:
        """Ops of one group always share a precision."""
        ops = tuple(ToyOp(f"op{i}", noise=0.4, group="pair" if i in (1, 2) else None) for i in range(5))
        model = ToyModel(ops)
        for trial in drive(self.make(model), model, 60):
            assert trial.plan["op1"] == trial.plan["op2"]

    def test_waits_while_a_trial_is_open(self) -> None:
        """Asking again before the answer never repeats the open proposal or inquiry."""
        model = toy_model()
        strategy = self.make(model)
        strategy.tell(toy_trial(model, 0, Proposal(FP32_PLAN)))
        first, second = strategy.ask(), strategy.ask()
        assert isinstance(first, Proposal | Inquiry)
        assert isinstance(second, Wait) or second != first

    @pytest.mark.parametrize("answer", [no_findings, some_findings])
    def test_goes_on_without_findings(self, answer: Answer) -> None:
        """Inquiries that are not answered, or not in full, neither break it nor keep it from ending with a reason."""
        model = toy_model()
        strategy = self.make(model)
        history = drive(strategy, model, 600, answer=answer)
        ended = strategy.ask()
        assert len(history) < 600
        assert isinstance(ended, Done)
        assert ended.reason

    def test_explains_itself_at_any_time(self) -> None:
        """A budget may end a search after any trial, and the report then says how far it came."""
        model = toy_model()
        strategy = self.make(model)
        strategy.tell(toy_trial(model, 0, Proposal(FP32_PLAN)))
        for number in range(1, 12):
            while isinstance(asked := strategy.ask(), Inquiry):
                strategy.tell(toy_findings(model, asked))
            if not isinstance(asked, Proposal):
                break
            strategy.tell(toy_trial(model, number, asked))
            assert getattr(strategy, "explanation", "told elsewhere")

    def test_finds_an_accepted_plan_with_some_findings(self) -> None:
        """Ops of which nothing was found cost speed or trials, not the result."""
        model = toy_model()
        history = drive(self.make(model), model, 600, answer=some_findings)
        assert model.seconds(best_accepted(history)) < model.seconds(FP32_PLAN)

    def test_screening_does_not_decide(self) -> None:
        """What it ends with was scored on the whole tune split."""
        model = toy_model()
        history = drive(self.make(model), model, self.trials, samples=1000)
        assert any(t.accepted and not t.plan.is_baseline for t in history)


def _int8(model: ToyModel, op_id: str) -> Any:
    return ToyAdaptor().capabilities(model)[op_id].precisions[0]
