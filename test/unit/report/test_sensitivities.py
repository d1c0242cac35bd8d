"""Findings and costs of single ops, as tables, sentences and a chart."""

from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoq.cli.sensitivity import bar, sparkline
from autoq.core.capability import Capability, CapabilityTable, Op
from autoq.core.inquiry import Findings, Inquiry, Need
from autoq.core.precision import FP32
from autoq.core.space import Space
from autoq.core.strategy import Costs
from autoq.report.effects_chart import effects_chart
from autoq.report.html import render
from autoq.report.sensitivity import Sensitivities, one_per_need
from autoq.testing.toy import INT8

NO_COSTS = Costs()


def space_of(count, types=("Conv",)):
    ops = [Op(f"op{i}", types[i % len(types)]) for i in range(count)]
    return Space.of(CapabilityTable(tuple(Capability(op, (INT8, FP32)) for op in ops)))


def found(values, costs=NO_COSTS, need=Need.SENSITIVITY, types=("Conv",), floating=frozenset()):
    space = space_of(len(values), types)
    known = {f"op{i}": v for i, v in enumerate(values) if v is not None}
    return Sensitivities.of(space, costs, Findings(Inquiry(need, space.full_plan()), known), floating)


def test_the_worst_stands_first_and_what_was_not_measured_last():
    assert [e.unit for e in found([0.1, None, 0.3, 0.2]).ranked] == ["op2", "op3", "op0", "op1"]


def test_shares_of_latency_saved_come_from_the_profile():
    costs = Costs({"op0": 0.004, "op1": 0.003, "op2": 0.001}, {"op0": 0.001, "op1": 0.002, "op2": 0.002})
    sensitivities = found([0.3, 0.1, 0.2], costs)
    shares = [sensitivities.share_saved(e) for e in sensitivities.effects]
    assert shares == pytest.approx([0.75, 0.25, -0.25])
    assert sensitivities.effects[0].per_millisecond == pytest.approx(0.1)
    assert sensitivities.effects[2].per_millisecond is None


def test_without_a_profile_nothing_is_said_of_savings():
    sensitivities = found([0.3, 0.1])
    assert [sensitivities.share_saved(e) for e in sensitivities.effects] == [None, None]


def test_ops_that_the_plan_leaves_float_are_not_listed():
    space = space_of(3)
    plan = space.plan({"op1": 1})
    sensitivities = Sensitivities.of(space, Costs(), Findings(Inquiry(Need.LOCAL_ERROR, plan), {"op0": 1.0}))
    assert [e.unit for e in sensitivities.effects] == ["op0", "op2"]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([5.0, 4.0, *[0.1] * 22], "the first 2 of 24 ops hold 80 % of it"),
        ([*[0.1] * 22, 4.0, 5.0], "the last 2 of 24 ops hold 80 % of it"),
        ([*[0.1] * 12, 9.0, *[0.1] * 11], "op12 alone holds 80 % of it"),
    ],
)
def test_stretches_and_single_ops_that_stand_out_are_named(values, said):
    assert found(values).standing_out() == (said,)


def test_a_type_that_stands_out_is_named():
    values = [0.01 if i % 4 else 1.0 for i in range(24)]
    types = ("Add", "Conv", "Conv", "Conv")
    assert found(values, types=types).standing_out()[0] == "the 6 ops of type Add hold 97 % of it"


@pytest.mark.parametrize("values", [[], [0.5], [0.0, 0.0], [None, None]])
def test_nothing_stands_out_where_nothing_is_known(values):
    assert found(values or [None]).standing_out() == ()


@given(st.lists(st.none() | st.floats(0, 1e6) | st.just(float("inf")), min_size=1, max_size=60))
def test_any_values_have_sentences_and_come_back_from_json(values):
    sensitivities = found(values)
    assert all("%" in line for line in sensitivities.standing_out())
    assert Sensitivities.from_json(sensitivities.to_json()) == sensitivities


def test_of_several_answers_to_one_kind_of_question_the_fullest_is_shown():
    inquiry = Inquiry(Need.SENSITIVITY, space_of(2).full_plan())
    few, many = Findings(inquiry, {"op0": 1.0}), Findings(inquiry, {"op0": 1.0, "op1": 2.0})
    other = Findings(Inquiry(Need.CURVATURE, inquiry.plan), {}, "not here")
    assert one_per_need([few, many, other]) == [many]


def test_the_chart_has_a_titled_bar_for_each_op_from_zero_up():
    drawn = effects_chart(found([0.3, 0.1, 0.2], floating=frozenset({"op1"})), 600)
    titles = [t.text for t in ElementTree.fromstring(drawn).iter("{http://www.w3.org/2000/svg}title")]
    assert titles == [
        "1. op0 (Conv); sensitivity 0.300",
        "2. op1 (Conv); sensitivity 0.100; stays float",
        "3. op2 (Conv); sensitivity 0.200",
    ]


def test_there_is_no_chart_of_one_op():
    assert effects_chart(found([0.3, None]), 600) is None


def test_the_page_shows_what_the_strategy_measured(maker):
    text = render(maker.document(sensitivities=[found([0.3, 0.1, 0.2])]))
    assert "Sensitivity of every op, in execution order" in text
    assert "Where it lies: op0 alone holds 50 % of it" in text


def test_a_sparkline_shows_the_worst_of_neighbours():
    effects = found([0.0, 1.0, 0.0, 0.25]).effects
    assert sparkline(effects, 4) == "▁█▁▅"
    assert sparkline(effects, 2) == "█▅"


def test_bars_are_shares_of_the_worst():
    assert len(bar(1.0, 1.0)) == 20
    assert len(bar(0.5, 1.0)) == 10
    assert bar(None, 1.0) == ""
