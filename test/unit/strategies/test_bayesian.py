import pytest

from autoq.core.errors import ConfigError
from autoq.core.inquiry import Findings, Inquiry
from autoq.core.plan import FP32_PLAN, Done, Proposal
from autoq.core.space import Space
from autoq.core.strategy import Costs
from autoq.strategies.bayesian import Bayesian
from autoq.strategies.tpe import Tpe
from autoq.testing.strategy_contract import LIMIT, drive, no_findings, toy_findings, toy_model, toy_trial
from autoq.testing.toy import ToyAdaptor, ToyModel, ToyOp, best_plan
from autoq.testing.toy_model import ToyVariant


def costs_of(model):
    float_seconds = {op.id: op.float_seconds for op in model.ops}
    return Costs(float_seconds, {op.id: op.int8_seconds for op in model.ops}, 100, 0.001, True)


def made(model, kind=Bayesian, **options):
    return kind(Space.of(ToyAdaptor().capabilities(model)), costs_of(model), 0, **options)


def mixed_model(count):
    """Ops of which each has its own best precision."""
    noises = [0.02, 0.3, 0.9, 0.05, 0.15, 0.6, 0.01, 0.4]
    return ToyModel(
        tuple(
            ToyOp(
                f"op{i}",
                noise=noises[i % 8],
                variants=(
                    ToyVariant("per_tensor", 4 * noises[i % 8], 0.0008),
                    ToyVariant("dynamic", 0.25 * noises[i % 8], 0.0014),
                ),
            )
            for i in range(count)
        )
    )


def test_it_asks_for_sensitivities_first():
    model = toy_model()
    strategy = made(model)
    strategy.tell(toy_trial(model, 0, Proposal(FP32_PLAN)))
    asked = strategy.ask()
    assert isinstance(asked, Inquiry)
    assert asked.plan == strategy.space.full_plan()


def test_precisions_are_mixed_where_that_is_best():
    model = mixed_model(7)
    known = best_plan(model, LIMIT)
    history = drive(made(model), model, 120)
    found = min((t for t in history if t.accepted), key=lambda t: t.objective)
    assert len({p.label for p in known.precisions.values()}) > 1
    assert model.seconds(found.plan) <= 1.03 * model.seconds(known)


def test_far_fewer_trials_than_plans():
    model = mixed_model(40)
    history = drive(made(model), model, 1000)
    assert len(history) < 150


@pytest.mark.parametrize("answer", [toy_findings, no_findings])
def test_it_tells_what_it_ranked_by(answer):
    model = toy_model()
    strategy = made(model)
    drive(strategy, model, 400, answer=answer)
    assert ("measured sensitivity" in strategy.explanation) == (answer is toy_findings)


def test_missing_sensitivities_count_as_usual_ones():
    model = toy_model()

    def one(model, inquiry):
        return Findings(inquiry, dict(list(toy_findings(model, inquiry).values.items())[:1]), "time is up")

    history = drive(made(model), model, 400, answer=one)
    assert any(t.accepted and not t.plan.is_baseline for t in history)


def test_nothing_fast_enough_is_an_answer():
    model = toy_model((9.0,) * 6)
    strategy = made(model)
    drive(strategy, model, 400)
    assert isinstance(strategy.ask(), Done)
    assert "No plan" in strategy.explanation


def test_the_units_that_fail_are_named():
    model = toy_model((0.1,) * 6)
    strategy = made(model)
    drive(strategy, model, 400, frozenset({"op2"}))
    assert strategy.culprits == ["op2"]
    assert "op2" in strategy.explanation


@pytest.mark.parametrize("options", [{"cut_trials": -1}, {"patience": 0}, {"screen": 0}])
def test_options_out_of_range_are_told(options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        made(toy_model(), **options)


def test_without_cut_trials_it_refines_only():
    model = toy_model()
    history = drive(made(model, cut_trials=0), model, 400)
    assert not [t for t in history if t.proposal.note.startswith("cut points")]
    assert any(t.accepted and not t.plan.is_baseline for t in history)


def test_tpe_samples_large_spaces_in_blocks():
    model = toy_model((0.001,) * 250)
    first = drive(made(model, Tpe), model, 16)
    assert len({t.plan for t in first}) == len(first)
    assert [t.plan for t in first] == [t.plan for t in drive(made(model, Tpe), model, 16)]
