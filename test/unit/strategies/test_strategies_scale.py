"""Bounds are generous: they catch a quadratic algorithm, not a slow machine."""

import time

import pytest
from drawn_core import int8

from autoq.core.capability import Capability, CapabilityTable, Op
from autoq.core.errors import UnsupportedError
from autoq.core.inquiry import Findings, Inquiry
from autoq.core.interval import Interval
from autoq.core.plan import FP32_PLAN, Proposal
from autoq.core.precision import FP32, Granularity, Observer
from autoq.core.registry import STRATEGIES, strategy_factory
from autoq.core.space import Space
from autoq.core.strategy import Costs
from autoq.core.trial import MetricScore, Trial, TrialState

LIMIT = 0.3


def space_of(ops: int) -> Space:
    precisions = (*(int8(weight=g, observer=o) for g in list(Granularity)[1::-1] for o in Observer), FP32)
    types = ("Conv", "MatMul", "Add")
    rows = tuple(Capability(Op(f"op{i}", types[i % 3]), precisions) for i in range(ops))
    return Space.of(CapabilityTable(rows, tuple((f"op{i}", f"op{i + 1}") for i in range(ops - 1))))


def answer(number: int, proposal: Proposal, ops: int) -> Trial:
    """Quantizing an op saves time and loses accuracy, the first ops most of all."""
    quantized = [int(op[2:]) for op, p in proposal.plan.precisions.items() if not p.is_float]
    loss = sum(2 if op < ops / 4 else 0.1 for op in quantized) / ops
    score = MetricScore("m", -loss, 0.0, Interval(loss, loss, loss), LIMIT, loss <= LIMIT, 100)
    cost = 1 - 0.5 * len(quantized) / ops
    return Trial(number, proposal, TrialState.COMPLETE, (score,), objective=cost, full=True)


@pytest.mark.parametrize("name", ["basic", "random"])
@pytest.mark.parametrize(("ops", "bound"), [(1000, 2.0), (5000, 10.0)])
def test_one_step_of_a_large_network(name: str, ops: int, bound: float) -> None:
    assert slowest_step(name, ops, trials=30) < bound


@pytest.mark.parametrize("name", [name for name in STRATEGIES if name != "exhaustive"])
def test_one_step_of_any_strategy(name: str) -> None:
    assert slowest_step(name, 300, trials=10) < 5.0


def slowest_step(name: str, ops: int, trials: int) -> float:
    """Seconds of the slowest ask and tell; inquiries are answered with what quantizing each op alone loses."""
    strategy = strategy_factory(name)(space_of(ops), Costs(), 0)
    strategy.tell(answer(0, Proposal(FP32_PLAN), ops))
    number, slowest = 0, 0.0
    while number < trials:
        start = time.process_time()
        asked = strategy.ask()
        middle = time.process_time()
        if isinstance(asked, Inquiry):
            news: Trial | Findings = Findings(asked, {f"op{i}": (2 if i < ops / 4 else 0.1) / ops for i in range(ops)})
        elif isinstance(asked, Proposal):
            number += 1
            news = answer(number, asked, ops)
        else:
            break
        told = time.process_time()
        strategy.tell(news)
        slowest = max(slowest, middle - start + time.process_time() - told)
    return slowest


def test_basic_needs_far_fewer_trials_than_there_are_ops() -> None:
    assert _trials_of_basic(1000) < 300


def test_exhaustive_refuses_a_large_network_with_the_number() -> None:
    with pytest.raises(UnsupportedError, match=r"1000 ops with a choice") as caught:
        strategy_factory("exhaustive")(space_of(1000), Costs(), 0)
    assert "max_plans" in str(caught.value.hint)


def _trials_of_basic(ops: int) -> int:
    strategy = strategy_factory("basic")(space_of(ops), Costs(), 0)
    strategy.tell(answer(0, Proposal(FP32_PLAN), ops))
    number = 0
    while isinstance(asked := strategy.ask(), Proposal):
        number += 1
        assert number < 1000
        strategy.tell(answer(number, asked, ops))
    return number
