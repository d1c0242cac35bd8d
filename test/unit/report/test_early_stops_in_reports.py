"""What reports say of trials that stopped as soon as they were decided."""

from dataclasses import replace

import pytest

from autoq.core.interval import Interval
from autoq.report import charts, page, side_by_side, text
from autoq.report.html import render
from autoq.report.scoring import scoring_effort


def decided(maker, number, loss, samples, ratio=0.4, **changes):
    trial = maker.trial(number, maker.plan(range(number)), loss, ratio, samples=samples)
    return trial.with_(decided=True, **{"proposal": replace(trial.proposal, samples=None), **changes})


@pytest.fixture
def searched(maker):
    """fp32 and an accepted trial in full, one decided each way."""
    return [
        maker.baseline(),
        decided(maker, 1, 0.2, 24),
        decided(maker, 2, 0.001, 150, 0.5),
        maker.trial(3, maker.plan(range(5)), 0.004, 0.45),
    ]


def test_a_decided_trial_tells_after_how_many_samples_of_how_many(searched):
    assert [text.samples_text(t, 300) for t in searched] == [
        "300",
        "decided after 24 of 300",
        "decided after 150 of 300",
        "300",
    ]


def test_a_decided_trial_that_keeps_the_limit_is_accepted_not_screened(searched):
    assert [text.trial_verdict(t) for t in searched[1:]] == ["loses too much", "accepted", "accepted"]


def test_samples_scored_are_counted_once_per_plan_and_against_full_evaluations(maker, searched):
    again = searched[2].with_(number=4, full=True, decided=False, scores=(maker.score(0.001, 300),))
    effort = scoring_effort([*searched, again], 300)
    assert (effort.plans, effort.scored, effort.full) == (4, 300 + 24 + 300 + 300, 1200)


def test_what_the_store_held_took_no_scoring(searched):
    effort = scoring_effort([searched[0], searched[1].with_(seconds={}), searched[2]], 300)
    assert effort.plans == 2
    assert effort.saving == pytest.approx(600 / 450)


def test_nothing_is_said_where_nothing_was_saved(maker, searched):
    assert scoring_effort([searched[0], searched[3]], 300) is None
    assert "Scoring stopped as soon as" not in render(maker.document([searched[0], searched[3]], best=3))


def test_the_page_tells_what_early_stops_saved(maker, searched):
    page_text = render(maker.document(searched, best=3))
    assert "4 plans took 774 scored samples; full evaluations would have taken 1,200 (1.55× as many)" in page_text
    assert "decided after 24 of 300" in page_text


def test_an_attempt_that_was_decided_says_how_sure_that_is(maker, searched):
    (loss,) = page.shown_losses(maker.document(searched[:2], best=None, attempt=1))
    assert loss.samples == "decided after 24 of 300"
    assert "all 300 samples would say otherwise with a chance of at most 5 %" in loss.certainty


def test_the_verdict_calls_a_loss_of_some_samples_an_estimate(maker, searched):
    assert "lost about 20.00 % of top1" in maker.document(searched[:2], best=None, attempt=1).verdict.sentence


def test_an_estimated_latency_of_the_attempt_is_marked(maker, searched):
    guessed = replace(searched[1].latency, estimated=True, rounds=0)
    document = maker.document([searched[0], searched[1].with_(latency=guessed)], best=None, attempt=1)
    (row,) = [r for r in side_by_side.compared(document) if r.what == "latency per run"]
    assert (row.shown, row.change) == ("–", "≈ 0.40 estimated")
    assert "≈" in render(document)


def test_charts_show_a_decided_trial_as_accepted_and_on_the_front(maker, searched):
    wide = searched[2].scores[0]
    searched[2] = searched[2].with_(scores=(replace(wide, loss=Interval(0.0, -0.02, 0.009)),))
    drawn = charts.scatter(maker.document(searched, best=3), 0, 600)
    assert "trial 2; accepted" in drawn
    assert "decided after 150 of 300" in drawn


def test_a_score_on_some_samples_stands_beside_that_of_fp32_on_them(maker, searched):
    early, full = (page.trial_rows(maker.document(searched, best=3))[i].scores[0][0] for i in (1, 3))
    assert early == "top1 0.6266 (fp32 0.7833)"
    assert full == "top1 0.7802"


def test_a_loss_that_is_only_a_bound_is_told_as_one(maker, searched):
    bound = replace(searched[1].scores[0], loss=Interval(0.02, 0.02, 1.0))
    document = maker.document([searched[0], searched[1].with_(scores=(bound,))], best=None, attempt=1)
    assert "lost at least 2.00 % of top1" in document.verdict.sentence
    assert page.shown_losses(document)[0].value == "≥ 2.00 %"
    assert page.trial_rows(document)[1].scores[0][1] == "loss ≥ 2.00 % [2.00, 100.00]"
