"""Hard samples come first, the others at random: what is decided stays as sure, and comes sooner."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from autoq.core.criterion import Criterion
from autoq.core.records import Records
from autoq.evaluation.margin import Margins, hard_first
from autoq.evaluation.metrics import make_metric
from autoq.evaluation.sequential.decision import SequentialDecider
from autoq.evaluation.sequential.drops import Drops
from autoq.evaluation.sequential.loss_test import LossTest

CONFIDENCE = 0.9
COUNT, HARD, LIMIT = 400, 80, 0.05


def decided(lost, share_in_hard, generator, hard=HARD):
    """Test of a candidate that disagrees on `lost` samples, some of them hard, the others anywhere."""
    candidate = np.zeros(COUNT)
    inside = round(share_in_hard * lost)
    candidate[generator.choice(HARD, inside, replace=False)] = 1
    candidate[HARD + generator.choice(COUNT - HARD, lost - inside, replace=False)] = 1
    if not hard:
        generator.shuffle(candidate)
    criterion = Criterion("agreement", LIMIT, confidence=CONFIDENCE)
    known = Drops(criterion, make_metric("agreement"), Records.of_rows(np.zeros(COUNT)), hard)
    test = LossTest(known, 1 - CONFIDENCE)
    test.add(known.of(Records.of_rows(candidate), 0))
    return test


@pytest.mark.parametrize("share_in_hard", [0.0, 0.2, 0.6, 0.9])
@pytest.mark.parametrize("lost", [20, 21, 23])
def test_decisions_are_as_sure_whatever_the_hard_samples_show(lost, share_in_hard):
    generator = np.random.default_rng(lost)
    kept, trials, wrong = lost <= LIMIT * COUNT, 150, 0
    for _ in range(trials):
        test = decided(lost, share_in_hard, generator)
        stopped = test.accepted_at or test.rejected_at
        wrong += stopped < COUNT and (test.accepted_at is not None) != kept
    assert wrong <= stats.binom.ppf(1 - 1e-4, trials, 1 - CONFIDENCE)


def test_where_errors_are_among_the_hard_samples_trials_are_decided_sooner():
    generator = np.random.default_rng(0)
    with_hard = [decided(28, 0.9, generator).rejected_at for _ in range(20)]
    without = [decided(28, 0.9, generator, hard=0).rejected_at for _ in range(20)]
    assert np.median(with_hard) < 0.5 * np.median(without)


@given(st.integers(0, 60), st.floats(0, 1), st.integers(0, 10_000))
def test_with_all_samples_the_decision_is_that_of_the_full_evaluation(lost, share_in_hard, seed):
    generator = np.random.default_rng(seed)
    candidate = np.zeros(COUNT)
    candidate[generator.choice(HARD, round(share_in_hard * lost), replace=False)] = 1
    candidate[HARD + generator.choice(COUNT - HARD, lost - round(share_in_hard * lost), replace=False)] = 1
    criterion = Criterion("agreement", LIMIT, confidence=CONFIDENCE)
    metric = make_metric("agreement")
    decider = SequentialDecider([criterion], [metric], {"agreement": Records.of_rows(np.zeros(COUNT))}, HARD)
    decider.add({"agreement": Records.of_rows(candidate)})
    assert decider.conclude().kept == (lost <= LIMIT * COUNT)


def test_the_estimate_weighs_hard_samples_by_their_share():
    criterion = Criterion("agreement", LIMIT)
    known = Drops(criterion, make_metric("agreement"), Records.of_rows(np.zeros(100)), 20)
    drops = np.concatenate([np.ones(10), np.zeros(10), np.ones(1), np.zeros(19)])
    assert known.estimate(drops) == pytest.approx((10 + 80 * 1 / 20) / 100)


def test_the_hardest_samples_are_those_of_the_smallest_margin():
    margins = np.random.default_rng(0).uniform(size=100)
    order, hard = hard_first(margins)
    assert sorted(order) == list(range(100))
    assert margins[order[:hard]].max() <= margins[order[hard:]].min()
    assert list(order[hard:]) == sorted(order[hard:])


def test_few_of_many_samples_are_hard():
    assert hard_first(np.zeros(10_000))[1] == 400
    assert hard_first(np.zeros(20))[1] == 5


def test_margins_are_the_gap_of_the_two_largest_scores():
    margins = Margins(lambda _: {"logits": np.array([[1.0, 3.0, 2.5], [0.0, 5.0, 1.0]], np.float32)})
    margins(np.zeros((2, 1), np.float32))
    np.testing.assert_allclose(margins.of(2), [0.5, 4.0])


def test_margins_of_a_sequence_are_those_of_its_least_sure_position():
    scores = np.array([[[0.0, 1.0], [0.0, 0.25]]], np.float32)
    margins = Margins(lambda _: {"logits": scores})
    margins(np.zeros((1, 1), np.float32))
    np.testing.assert_allclose(margins.of(1), [0.25])


@pytest.mark.parametrize(
    "outputs",
    [{"embedding": np.zeros((2, 1), np.float32)}, {"boxes": np.zeros((2, 3, 4, 5), np.float32)}, {"a": np.zeros(2)}],
)
def test_outputs_that_are_no_scores_of_classes_have_no_margins(outputs):
    margins = Margins(lambda _: outputs)
    margins(np.zeros((2, 1), np.float32))
    assert margins.of(2) is None


def test_a_sample_of_several_rows_has_no_margin():
    margins = Margins(lambda _: {"logits": np.zeros((4, 3), np.float32)})
    margins(np.zeros((4, 1), np.float32))
    assert margins.of(2) is None
