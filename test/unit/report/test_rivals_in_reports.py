"""Rivals in float, compiled forms and estimated latencies: what a report says of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from autoq.core.capability import Recipe
from autoq.core.plan import Plan
from autoq.core.trial import Failure, FailureKind, Trial, TrialState
from autoq.report.document import ReportDocument
from autoq.report.html import render
from autoq.report.naming import baseline_name
from autoq.report.rivals import rival_rows
from autoq.report.side_by_side import compared
from autoq.report.text import latency_ratio, trial_verdict
from autoq.report.verdict import Answer

COMPILE, BF16, EAGER = Recipe("compile"), Recipe("bf16"), Recipe("eager")


def rival(maker, number, recipes, note, loss=0.0, ratio=0.5, seconds=None) -> Trial:
    found = maker.trial(number, Plan({}, recipes), loss, ratio, note)
    compiling = {"compile": seconds} if seconds is not None else {}
    return found.with_(proposal=replace(found.proposal, deployed=True), seconds={**found.seconds, **compiling})


@pytest.fixture
def eager_route(maker):
    """fp32 runs uncompiled; compiled fp32 and bf16 are rivals; a quantized plan wins."""
    trials = [
        maker.baseline(),
        rival(maker, 1, (COMPILE,), "compiled fp32", ratio=0.5, seconds=18.0),
        rival(maker, 2, (BF16,), "bf16", loss=0.02, ratio=1.3),
        maker.trial(3, maker.plan(), 0.004, 0.25, "fully quantized"),
    ]
    return maker.document(trials, best=3, full_latencies={})


@pytest.fixture
def compiled_route(maker):
    """fp32 is compiled; plans are scored on a reference, and the finalist again as deployed."""
    base = maker.baseline()
    base = base.with_(seconds={**base.seconds, "compile": 17.0})
    plan, other = maker.plan(), maker.plan(range(8))
    first = maker.trial(2, plan, 0.003, 0.3, "fully quantized")
    first = first.with_(reference=True, seconds={**first.seconds, "compile": 18.0})
    guess = maker.trial(3, other, 0.001, 0.4, "first 8 ops → float")
    guess = guess.with_(reference=True, latency=replace(guess.latency, estimated=True, rounds=0))
    final = maker.trial(4, plan, 0.005, 0.3, "trial 2, as deployed")
    final = final.with_(proposal=replace(final.proposal, deployed=True))
    trials = [base, rival(maker, 1, (EAGER,), "eager fp32", ratio=2.1), first, guess, final]
    return maker.document(trials, best=4, full_latencies={})


def test_fp32_is_called_what_it_is(maker, eager_route, compiled_route):
    assert baseline_name(maker.document().trials) == "fp32"
    assert baseline_name(eager_route.trials) == "eager fp32"
    assert baseline_name(compiled_route.trials) == "compiled fp32"


def test_the_verdict_names_both_fp32s(eager_route):
    assert eager_route.verdict.sentence.startswith(
        "Promise kept: 4.00× as fast as eager fp32 (2.00× as fast as compiled fp32), losing 0.40 %"
    )


def test_the_verdict_of_a_compiled_route_is_against_compiled_fp32(compiled_route):
    assert "3.33× as fast as compiled fp32, losing 0.50 %" in compiled_route.verdict.sentence


def test_a_rival_may_be_the_answer(maker):
    trials = [maker.baseline(), rival(maker, 1, (BF16,), "bf16", loss=0.001), maker.trial(2, maker.plan(), 0.2, 0.3)]
    verdict = maker.document(trials, best=1, full_latencies={}).verdict
    assert verdict.answer is Answer.ACCEPTED
    assert verdict.sentence.startswith("Promise kept, and best without quantizing: bf16 is 2.00× as fast as fp32")


def test_rivals_do_not_count_as_plans_that_were_tried(maker):
    trials = [maker.baseline(), rival(maker, 1, (BF16,), "bf16", ratio=1.2), maker.trial(2, maker.plan(), 0.2, 0.3)]
    verdict = maker.document(trials, best=None, attempt=2, held_out=None).verdict
    assert verdict.answer is Answer.NOT_KEPT
    assert "the plan tried does not keep the promise" in verdict.sentence


def test_a_search_that_only_tried_rivals_claims_nothing(maker):
    trials = [maker.baseline(), rival(maker, 1, (BF16,), "bf16", ratio=1.2)]
    assert maker.document(trials, best=None, held_out=None).verdict.answer is Answer.NOTHING_TRIED


def test_no_rivals_no_table(maker):
    assert rival_rows(maker.document()) == []
    assert "What could run here" not in render(maker.document())


def test_the_table_holds_fp32_every_rival_and_the_chosen_plan(eager_route):
    rows = rival_rows(eager_route)
    assert [row.name for row in rows] == ["eager fp32", "compiled fp32", "bf16", "the chosen plan"]
    assert [row.chosen for row in rows] == [False, False, False, True]
    assert rows[1].compiling == "18 s"
    assert rows[0].compiling == "–"
    assert rows[2].losses == ("loss 2.00 %",)
    assert rows[2].verdict == "loses too much"


def test_latencies_of_the_table_agree_with_its_ratios(eager_route):
    base, compiled, *_ = rival_rows(eager_route)
    assert base.latency == "11.2 ms"
    assert compiled.latency == "5.62 ms"
    assert compiled.ratio.startswith("0.500 [")


def test_a_rival_that_failed_says_why(maker):
    failed = Trial(
        1,
        replace(rival(maker, 1, (COMPILE,), "compiled fp32").proposal),
        TrialState.FAILED,
        failure=Failure(FailureKind.BUILD, "there is no C++ compiler here"),
    )
    document = maker.document([maker.baseline(), failed, maker.trial(2, maker.plan(), 0.001, 0.4)], best=2)
    assert rival_rows(document)[1].reason == "there is no C++ compiler here"
    assert "there is no C++ compiler here" in render(document)


def test_an_estimate_never_looks_measured(compiled_route):
    guess = compiled_route.trials[3]
    assert latency_ratio(guess.latency) == "≈ 0.40 estimated"
    page = render(compiled_route)
    assert "≈ 0.40 estimated" in page
    assert "A latency with ≈ is not measured" in page


def test_passing_on_a_reference_is_not_accepted(compiled_route):
    assert trial_verdict(compiled_route.trials[2]) == "passes on reference"
    assert trial_verdict(compiled_route.trials[4]) == "accepted"


def test_both_scores_of_the_chosen_plan_are_shown(compiled_route):
    row = next(r for r in compared(compiled_route) if r.what == "top1 before compiling")
    reference, final = compiled_route.trials[2].scores[0].value, compiled_route.trials[4].scores[0].value
    assert row.shown == f"{reference:.4f}"
    assert row.change == f"{final - reference:.4f} once compiled".replace("-", "−")


def test_compile_times_stand_apart(compiled_route):
    row = next(r for r in compared(compiled_route) if r.what == "compile time")
    assert (row.fp32, row.shown) == ("17 s", "18 s")
    assert "compile 18 s" in render(compiled_route)


def test_only_the_deployed_trial_is_marked_as_chosen(compiled_route):
    assert render(compiled_route).count('<span class="badge good">chosen') == 1


def test_a_document_with_all_of_it_survives_json(compiled_route, eager_route):
    for document in (compiled_route, eager_route):
        assert ReportDocument.from_json(document.to_json()).to_json() == document.to_json()


def test_recipes_of_the_chosen_plan_are_told(maker):
    plan = Plan(maker.plan().precisions, (BF16,))
    document = maker.document([maker.baseline(), maker.trial(1, plan, 0.001, 0.4)], best=1, full_latencies={})
    assert "Under bf16, which acts on the model as a whole" in render(document)


def test_the_page_counts_rivals_apart(maker):
    trials = [maker.baseline(), rival(maker, 1, (BF16,), "bf16"), maker.trial(2, maker.plan(), 0.002, 0.4)]
    page = render(maker.document(trials, best=trials[2]))
    assert "2 trials after fp32, 1 of them without quantizing" in page
