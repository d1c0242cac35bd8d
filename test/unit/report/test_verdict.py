import pytest

from autoq.core.interval import Interval
from autoq.core.objective import Objective, Quantity
from autoq.core.trial import Latency
from autoq.report.verdict import Answer


def test_accepted_tells_speed_loss_and_limit(maker):
    verdict = maker.document().verdict
    assert verdict.answer is Answer.ACCEPTED
    assert verdict.sentence == "Promise kept: 2.33× as fast as fp32, losing 0.43 % of top1 (limit 1 %)."


def test_a_better_score_is_a_gain(maker):
    trials = [maker.baseline(), maker.trial(1, maker.plan(), -0.002, 0.5)]
    assert "gaining 0.20 % of top1 (it may lose 1 %)" in maker.document(trials, best=1).verdict.sentence


def test_no_loss_at_all_is_said_plainly(maker):
    trials = [maker.baseline(), maker.trial(1, maker.plan(), 0.0, 0.5)]
    assert "losing nothing of top1" in maker.document(trials, best=1).verdict.sentence


def test_none_accepted_names_the_nearest(maker):
    trials = [maker.baseline(), maker.trial(1, maker.plan(), 0.071, 0.4), maker.failure(2)]
    verdict = maker.document(trials, best=None, attempt=1, held_out=None).verdict
    assert verdict.answer is Answer.NOT_KEPT
    assert verdict.sentence == (
        "fp32 is the answer: none of 2 trials keeps the promise; the nearest lost 7.10 % of top1 (limit 1 %)."
    )


def test_accepted_but_not_faster_is_another_answer(maker):
    trials = [maker.baseline(), maker.trial(1, maker.plan(), 0.001, 1.2)]
    verdict = maker.document(trials, best=None, attempt=1, held_out=None).verdict
    assert verdict.answer is Answer.NO_GAIN
    assert not verdict.accepted


def test_a_search_without_trials_claims_nothing(maker):
    verdict = maker.document([maker.baseline()], best=None, held_out=None).verdict
    assert verdict.answer is Answer.NOTHING_TRIED
    assert verdict.speedup is None


def test_a_size_objective_tells_the_size(maker):
    document = maker.document(objective=Objective(((Quantity.SIZE, 1.0),)))
    assert "3.25× smaller" in document.verdict.sentence


def test_the_speedup_is_the_inverse_interval(maker):
    document = maker.document()
    speedup, best = document.verdict.speedup, document.latency_of(document.best).ratio
    assert speedup == Interval(1 / best.value, 1 / best.high, 1 / best.low, best.confidence)


@pytest.mark.parametrize("held_out", ["confirmed", "not_confirmed", "undecided"])
def test_the_held_out_verdict_stands_beside(maker, held_out):
    assert maker.document(held_out=(0.01, held_out)).verdict.held_out == held_out


def test_the_careful_latency_of_an_attempt_is_the_one_that_is_told(maker):
    attempt = maker.trial(1, maker.plan(), 0.001, 1.2)
    careful = Latency(0.0105, 0.01, Interval(1.05, 1.04, 1.06), 400)
    document = maker.document(
        [maker.baseline(), attempt],
        best=None,
        attempt=1,
        held_out=None,
        full_latencies={attempt.plan.digest: careful},
    )
    assert document.verdict.speedup == Interval(1 / 1.05, 1 / 1.06, 1 / 1.04)
