"""What a copy loses against the model it was made from."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoq.core.errors import DataError
from autoq.core.records import Records
from autoq.evaluation.difference import difference_interval
from autoq.evaluation.metrics import make_metric


def records(values):
    return Records.of_rows(np.asarray(values, np.float64))


def differing(count, flips):
    first = np.ones(count)
    second = first.copy()
    second[:flips] = 0
    return records(second), records(first)


TOP1 = make_metric("top1")


def test_a_copy_that_is_right_less_often_loses():
    second, first = differing(1000, 10)
    value, reference, found = difference_interval(TOP1, second, first, first, 0, 0.95)
    assert (value, reference) == (0.99, 1.0)
    assert found.value == pytest.approx(0.01)
    assert found.low > 0


def test_equal_answers_leave_room_for_differences_not_seen():
    first = records(np.ones(500))
    _, _, found = difference_interval(TOP1, records(np.ones(500)), first, first, 0, 0.95)
    assert found.value == 0
    assert found.low < 0 < found.high


@given(st.integers(0, 50), st.integers(50, 300))
def test_the_difference_changes_its_sign_with_the_order(flips, count):
    second, first = differing(count, flips)
    forth = difference_interval(TOP1, second, first, first, 0, 0.95)[2]
    back = difference_interval(TOP1, first, second, first, 0, 0.95)[2]
    assert forth.value == pytest.approx(-back.value)
    assert forth.low <= forth.value <= forth.high


def test_other_numbers_of_samples_cannot_be_compared():
    with pytest.raises(DataError, match="3 samples with 4"):
        difference_interval(TOP1, records(np.ones(3)), records(np.ones(4)), records(np.ones(4)), 0, 0.95)
