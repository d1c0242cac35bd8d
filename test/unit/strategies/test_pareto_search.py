"""The front on toy models in which what saves time and what saves bytes differ."""

import itertools

import pytest

from autoq.core.errors import ConfigError
from autoq.core.inquiry import Inquiry
from autoq.core.objective import Objective, Quantity
from autoq.core.plan import FP32_PLAN, Plan, Proposal
from autoq.core.space import Space
from autoq.core.strategy import Costs
from autoq.core.trial import Trial
from autoq.strategies.pareto import Pareto, directions
from autoq.testing.strategy_contract import LIMIT, toy_findings, toy_trial
from autoq.testing.toy import INT8, ToyAdaptor, ToyModel, ToyOp
from autoq.tuning.front import front

BOTH = (Quantity.LATENCY, Quantity.SIZE)
OBJECTIVE = Objective(((Quantity.LATENCY, 1.0), (Quantity.SIZE, 1.0)))
BYTES = (9000, 500, 6000, 500, 4000, 500)
SECONDS = (0.001, 0.004, 0.001, 0.003, 0.002, 0.005)
NOISE = (0.5, 0.5, 0.4, 0.4, 0.3, 0.6)


def model() -> ToyModel:
    made = zip(SECONDS, NOISE, strict=True)
    ops = (ToyOp(f"op{i}", noise=n, float_seconds=s, int8_seconds=0.4 * s) for i, (s, n) in enumerate(made))
    return ToyModel(tuple(ops), conversion_seconds=1e-5)


def size_of(plan: Plan) -> int:
    return sum(b if plan[f"op{i}"].is_float else b // 4 for i, b in enumerate(BYTES))


def tried(number: int, proposal: Proposal) -> Trial:
    size = size_of(proposal.plan)
    trial = toy_trial(model(), number, proposal).with_(size_bytes=size)
    return trial.with_(objective=OBJECTIVE.value({Quantity.LATENCY: trial.speed, Quantity.SIZE: size / sum(BYTES)}))


def searched(quantities: tuple[Quantity, ...] = BOTH) -> tuple[Pareto, list[Trial]]:
    toy = model()
    costs = Costs(
        {op.id: op.float_seconds for op in toy.ops},
        {op.id: op.int8_seconds for op in toy.ops},
        100,
        0.001,
        True,
        quantities,
    )
    search = Pareto(Space.of(ToyAdaptor().capabilities(toy)), costs, 0)
    history = [tried(0, Proposal(FP32_PLAN))]
    search.tell(history[0])
    while isinstance(asked := search.ask(), Inquiry | Proposal):
        if isinstance(asked, Inquiry):
            search.tell(toy_findings(toy, asked))
            continue
        history.append(tried(len(history), asked))
        search.tell(history[-1])
    return search, history


def everything() -> list[Trial]:
    plans = itertools.product((False, True), repeat=len(BYTES))
    chosen = (Plan({f"op{i}": INT8 for i, q in enumerate(states) if q}) for states in plans)
    return [tried(i, Proposal(plan)) for i, plan in enumerate(chosen)]


def test_it_finds_the_ends_of_the_front() -> None:
    _, history = searched()
    found = [dict(p.ratios) for p in front(history, BOTH, history[0])]
    true = [dict(p.ratios) for p in front(everything(), BOTH, history[0])]
    for quantity in BOTH:
        assert min(r[quantity] for r in found) == pytest.approx(min(r[quantity] for r in true))


def test_the_best_by_the_weights_of_the_job_is_among_its_trials() -> None:
    _, history = searched()
    found = min(t.objective for t in history if t.accepted and t.objective is not None)
    assert found == pytest.approx(min(t.objective for t in everything() if t.accepted and t.objective is not None))


def test_the_front_has_more_than_one_plan() -> None:
    _, history = searched()
    assert len(front(history, BOTH, history[0])) > 2


def test_no_plan_of_the_front_breaks_the_limit() -> None:
    _, history = searched()
    plans = {t.number: t.plan for t in history}
    assert all(model().noise(plans[p.number]) <= LIMIT for p in front(history, BOTH, history[0]))


def test_with_one_objective_it_says_so() -> None:
    search, _ = searched((Quantity.LATENCY,))
    assert "one objective" in search.explanation


@pytest.mark.parametrize("quantities", [BOTH, (*BOTH, Quantity.MEMORY)])
def test_weights_sum_to_one(quantities: tuple[Quantity, ...]) -> None:
    assert all(sum(weights.values()) == pytest.approx(1) for weights in directions(quantities))


def test_the_first_weights_are_all_on_one_quantity() -> None:
    assert [max(w, key=lambda q: w[q]) for w in directions(BOTH)[:2]] == [Quantity.LATENCY, Quantity.SIZE]


def test_tries_must_be_positive() -> None:
    with pytest.raises(ConfigError, match="tries"):
        Pareto(Space.of(ToyAdaptor().capabilities(model())), Costs(), 0, tries=0)
