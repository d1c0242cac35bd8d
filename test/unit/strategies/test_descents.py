"""What the strategies that rank ops do beyond `StrategyContract`."""

import itertools
from typing import Any

import pytest

from autoq.core.capability import Capability, CapabilityTable, Op
from autoq.core.errors import ConfigError
from autoq.core.inquiry import Findings, Inquiry, Need
from autoq.core.interval import Interval
from autoq.core.plan import FP32_PLAN, Done, LatencyEffort, Proposal
from autoq.core.precision import FP32
from autoq.core.registry import strategy_factory
from autoq.core.space import Space
from autoq.core.strategy import Costs, Strategy
from autoq.core.trial import MetricScore, Trial
from autoq.testing.strategy_contract import LIMIT, best_accepted, drive, no_findings, toy_findings, toy_model, toy_trial
from autoq.testing.toy import ToyAdaptor, ToyModel, ToyOp
from autoq.testing.toy_model import INT8, VARIANTS, ToyVariant

RANKING = ("conservative", "mse", "mse_v2", "hawq_v2")
ANYWHERE = ("conservative", "mse", "mse_v2")


def made(name: str, model: ToyModel, **options: Any) -> Strategy:
    seconds = {op.id: op.float_seconds for op in model.ops}, {op.id: op.int8_seconds for op in model.ops}
    costs = Costs(*seconds, 1000, 0.01, sequential=True)
    return strategy_factory(name)(Space.of(ToyAdaptor().capabilities(model)), costs, 0, **options)


def chain(noises: list[float], **settings: Any) -> ToyModel:
    return ToyModel(tuple(ToyOp(f"op{i}", noise=n) for i, n in enumerate(noises)), **settings)


def asked(strategy: Strategy, model: ToyModel, most: int = 600) -> tuple[list[Proposal | Inquiry], list[Trial]]:
    """Everything a strategy asks for, and the trials."""
    strategy.tell(toy_trial(model, 0, Proposal(FP32_PLAN), 1000))
    every: list[Proposal | Inquiry] = []
    trials: list[Trial] = []
    while len(every) < most and isinstance(question := strategy.ask(), Proposal | Inquiry):
        every.append(question)
        if isinstance(question, Inquiry):
            strategy.tell(toy_findings(model, question))
        else:
            trials.append(toy_trial(model, len(trials) + 1, question, 1000))
            strategy.tell(trials[-1])
    return every, trials


@pytest.mark.parametrize(
    ("name", "need"),
    [
        ("conservative", Need.SENSITIVITY),
        ("mse", Need.LOCAL_ERROR),
        ("mse_v2", Need.SENSITIVITY),
        ("hawq_v2", Need.CURVATURE),
    ],
)
def test_each_ranks_by_its_own_measure(name: str, need: Need) -> None:
    model = toy_model()
    questions, _ = asked(made(name, model), model)
    assert [q.need for q in questions if isinstance(q, Inquiry)] == [need]


@pytest.mark.parametrize("name", ["mse", "mse_v2"])
def test_measures_no_errors_where_nothing_has_to_fall_back(name: str) -> None:
    model = chain([0.01] * 8)
    questions, _ = asked(made(name, model), model)
    assert not [q for q in questions if isinstance(q, Inquiry)]


@pytest.mark.parametrize("name", RANKING)
@pytest.mark.parametrize("noises", [[3.0, 2.0, 0.1, 0.1, 0.1, 1.5, 0.1, 0.1], [0.01] * 8, [3.0] * 8])
def test_explains_itself_in_two_sentences(name: str, noises: list[float]) -> None:
    model = chain(noises)
    strategy = made(name, model)
    asked(strategy, model)
    explanation = str(getattr(strategy, "explanation", ""))
    assert explanation.endswith(".")
    assert len([s for s in explanation.replace("autoq.", "").split(". ") if s]) == 2


@pytest.mark.parametrize("name", RANKING)
def test_a_bad_stretch_goes_to_float_as_one(name: str) -> None:
    noises = [0.01] * 10 + [0.5] * 6 + [0.01] * 24
    model = chain(noises, conversion_seconds=0.0008)
    found = best_accepted(drive(made(name, model), model, 100, samples=1000))
    floats = [i for i in range(40) if found[f"op{i}"].is_float]
    assert floats
    assert set(floats) <= set(range(10, 16))
    assert floats == list(range(floats[0], floats[-1] + 1))


@pytest.mark.parametrize("name", RANKING)
def test_few_trials_for_a_long_network(name: str) -> None:
    noises = [2.0 if i % 50 == 7 else 0.001 for i in range(300)]
    model = chain(noises)
    history = drive(made(name, model), model, 300, samples=1000)
    assert len(history) < 150
    assert sum(best_accepted(history)[f"op{i}"].is_float for i in range(300)) <= 8


@pytest.mark.parametrize("name", ANYWHERE)
def test_without_findings_a_bad_op_is_still_found(name: str) -> None:
    model = chain([0.05] * 9 + [5.0] + [0.05] * 6)
    found = best_accepted(drive(made(name, model), model, 200, samples=1000, answer=no_findings))
    assert found["op9"].is_float
    assert sum(found[f"op{i}"].is_float for i in range(16)) <= 3


@pytest.mark.parametrize("name", RANKING)
def test_falls_back_to_a_slower_style_where_that_holds(name: str) -> None:
    """Dynamic everywhere holds the limit; static where it does no harm is faster, and no op needs float."""
    ops = tuple(
        ToyOp(
            f"op{i}",
            noise=0.6 if i < 4 else 0.01,
            int8_seconds=0.0006,
            variants=(ToyVariant("dynamic", 0.02, 0.0012),),
        )
        for i in range(16)
    )
    model = ToyModel(ops, conversion_seconds=0.0)
    found = best_accepted(drive(made(name, model), model, 300, samples=1000))
    assert found["op0"] == VARIANTS["dynamic"]
    assert found["op15"] == INT8
    assert not any(found[op.id].is_float for op in ops)


@pytest.mark.parametrize("name", RANKING)
def test_an_op_that_int8_slows_down_stays_in_float(name: str) -> None:
    ops = tuple(ToyOp(f"op{i}", noise=0.01, int8_seconds=0.009 if i == 0 else 0.001) for i in range(6))
    model = ToyModel(ops)
    found = best_accepted(drive(made(name, model), model, 100, samples=1000))
    assert found["op0"].is_float
    assert len(found) == 5


@pytest.mark.parametrize("name", ["mse", "mse_v2", "hawq_v2"])
def test_a_model_that_is_slower_in_int8_ends_with_fp32(name: str) -> None:
    ops = tuple(ToyOp(f"op{i}", noise=0.01, float_seconds=0.001, int8_seconds=0.0011) for i in range(6))
    model = ToyModel(ops)
    strategy = made(name, model)
    history = drive(strategy, model, 100, samples=1000)
    assert strategy.ask() == Done("plans within the limit are no faster than fp32")
    assert len(history) < 10


@pytest.mark.parametrize("name", RANKING)
def test_an_accuracy_that_cannot_be_kept_ends_with_a_reason(name: str) -> None:
    model = chain([3.0] * 6)
    strategy = made(name, model)
    history = drive(strategy, model, 200, samples=1000)
    assert not [t for t in history[1:] if t.accepted]
    ended = strategy.ask()
    assert isinstance(ended, Done)
    assert ended.reason in {"every fallback was tried and none keeps the limit", "no part can be quantized"}


@pytest.mark.parametrize("name", RANKING)
def test_a_screening_below_one_sample_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r"strategy\.screen must be at least 1, not 0"):
        made(name, toy_model(), screen=0)


@pytest.mark.parametrize("option", ["candidates", "samples"])
def test_mse_v2_refuses_options_below_one(option: str) -> None:
    with pytest.raises(ConfigError, match=rf"strategy\.{option} must be at least 1, not 0"):
        made("mse_v2", toy_model(), **{option: 0})


def test_mse_v2_measures_candidates_on_few_samples_without_a_latency() -> None:
    model = toy_model()
    _, trials = asked(made("mse_v2", model), model)
    probes = [t.proposal for t in trials if t.proposal.samples is not None]
    assert probes
    assert {(p.samples, p.latency) for p in probes} == {(32, LatencyEffort.NONE)}


def test_mse_v2_measures_a_handful_of_candidates_a_round() -> None:
    model = chain([0.3] * 40)
    _, trials = asked(made("mse_v2", model, candidates=3), model)
    rounds = [len(list(g)) for few, g in itertools.groupby(t.proposal.samples is not None for t in trials) if few]
    assert rounds
    assert max(rounds) <= 3


def test_mse_v2_is_led_by_what_it_measures_not_by_what_it_was_told() -> None:
    """The findings blame the wrong end of the chain."""
    model = chain([0.01] * 20 + [0.6] * 4)
    strategy = made("mse_v2", model)
    strategy.tell(toy_trial(model, 0, Proposal(FP32_PLAN), 1000))
    history = [toy_trial(model, 0, Proposal(FP32_PLAN), 1000)]
    while isinstance(question := strategy.ask(), Proposal | Inquiry) and len(history) < 300:
        if isinstance(question, Inquiry):
            strategy.tell(Findings(question, {f"op{i}": 1.0 if i < 4 else 0.01 for i in range(24)}))
        else:
            history.append(toy_trial(model, len(history), question, 1000))
            strategy.tell(history[-1])
    found = best_accepted(history)
    assert found["op0"] == found["op3"] == INT8
    assert sum(found[f"op{i}"].is_float for i in range(20, 24)) >= 3


def test_mse_v2_uses_the_metric_where_outputs_cannot_be_compared() -> None:
    model = toy_model()
    strategy = made("mse_v2", model)
    strategy.tell(toy_trial(model, 0, Proposal(FP32_PLAN), 1000).with_(divergence=None))
    history = [toy_trial(model, 0, Proposal(FP32_PLAN), 1000)]
    while isinstance(question := strategy.ask(), Proposal | Inquiry):
        if isinstance(question, Inquiry):
            strategy.tell(no_findings(model, question))
        else:
            history.append(toy_trial(model, len(history), question, 1000).with_(divergence=None))
            strategy.tell(history[-1])
    assert model.seconds(best_accepted(history)) < model.seconds(FP32_PLAN)


def test_hawq_v2_ends_at_once_where_there_is_no_curvature() -> None:
    model = toy_model()
    strategy = made("hawq_v2", model)
    history = drive(strategy, model, 100, answer=no_findings)
    ended = strategy.ask()
    assert len(history) == 1
    assert isinstance(ended, Done)
    assert ended.reason == (
        "no curvature here: not available here; hawq_v2 works with pytorch_eager, pytorch_fx and pytorch_pt2e, "
        "for other frameworks use strategy mse_v2 or mse"
    )


def test_conservative_never_takes_a_step_from_a_plan_that_broke_the_limit() -> None:
    """Every plan extends one that was accepted before, by what is tried just now."""
    model = toy_model((3.0, 2.0, 0.1, 0.1, 0.1, 1.5, 0.1, 0.1))
    _, trials = asked(made("conservative", model), model)
    kept: list[frozenset[str]] = [frozenset()]
    for trial in trials:
        quantized = frozenset(trial.plan)
        assert any(before < quantized or quantized < before for before in kept)
        if trial.accepted:
            kept.append(quantized)


def test_conservative_begins_with_a_part_of_the_network() -> None:
    model = chain([0.01] * 60)
    _, trials = asked(made("conservative", model), model)
    assert 0 < len(trials[0].plan) <= 15
    assert trials[0].accepted


def test_conservative_starts_from_a_trial_where_float_is_forbidden_somewhere() -> None:
    rows = tuple(Capability(Op(f"op{i}", "Conv"), (INT8, FP32)) for i in range(4))
    space = Space.of(CapabilityTable(rows))
    forced = Space(space.units[1:], (), (), {"op0": INT8})
    strategy = strategy_factory("conservative")(forced, Costs(), 0)
    strategy.tell(_scored(0, Proposal(FP32_PLAN)))
    first = strategy.ask()
    assert isinstance(first, Inquiry)
    strategy.tell(Findings(first, reason="not available here"))
    proposal = strategy.ask()
    assert isinstance(proposal, Proposal)
    assert set(proposal.plan) == {"op0"}


def _scored(number: int, proposal: Proposal) -> Trial:
    trial = toy_trial(toy_model(), number, proposal)
    return trial.with_(scores=(MetricScore("m", 0.0, 0.0, Interval(0.0, 0.0, 0.0), LIMIT, True, 100),))


@pytest.mark.parametrize("name", RANKING)
def test_trials_hardly_grow_with_the_number_of_ops(name: str) -> None:
    """A thousand ops, every one of which harms a little and the first quarter much."""
    model = chain([0.02 if i < 250 else 0.0002 for i in range(1000)])
    history = drive(made(name, model), model, 300, samples=1000)
    assert len(history) < 150
    assert model.seconds(best_accepted(history)) < 0.7 * model.seconds(FP32_PLAN)
