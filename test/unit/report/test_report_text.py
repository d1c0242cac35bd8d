import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoq.core.criterion import Criterion, Tolerance
from autoq.core.interval import Interval
from autoq.core.objective import Quantity
from autoq.report import text


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0"),
        (2.3333, "2.33"),
        (0.01234, "0.0123"),
        (-1.5, "−1.50"),
        (123456, "123,456"),
        (math.inf, "∞"),
        (None, "–"),
    ],
)
def test_numbers_have_three_digits_and_a_true_minus(value, shown):
    assert text.number(value) == shown


@given(st.floats(-1e300, 1e300))
def test_a_number_is_never_far_from_what_it_shows(value):
    shown = float(text.number(value, 4).replace("−", "-").replace(",", ""))
    assert shown == pytest.approx(value, rel=1e-3, abs=1e-300)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.42, "0.4 s"), (9.96, "10 s"), (59.7, "1 min 00 s"), (185, "3 min 05 s"), (7800, "2 h 10 min")],
)
def test_durations(seconds, shown):
    assert text.duration(seconds) == shown


def test_relative_losses_are_percent_and_absolute_ones_are_not():
    relative, absolute = Criterion("top1", 0.01), Criterion("mse", 0.0005, Tolerance.ABSOLUTE)
    assert text.loss_value(relative, 0.0043) == "0.43 %"
    assert text.loss_value(absolute, 0.00012) == "0.000120"
    assert text.loss_bounds(relative, Interval(0.0, -0.004, 0.0107)) == "[−0.40, 1.07]"


def test_a_rounded_zero_has_no_sign():
    assert text.loss_value(Criterion("top1"), -0.000001) == "0.00 %"


def test_an_infinite_loss_is_shown_as_such():
    assert text.loss_value(Criterion("top1"), math.inf) == "∞"
    assert text.loss_phrase(Criterion("top1"), math.inf, "top1") == "losing ∞ of top1"


@pytest.mark.parametrize(
    ("count", "shown"), [(None, "–"), (12, "12 B"), (18_600_000, "18.6 MB"), (2 * 10**9, "2.00 GB")]
)
def test_sizes(count, shown):
    assert text.size(count) == shown


def test_several_objectives_name_their_weights():
    assert text.objective_text([(Quantity.LATENCY, 1.0)]) == "latency"
    weighted = text.objective_text([(Quantity.LATENCY, 2.0), (Quantity.SIZE, 1.0)])
    assert weighted == "latency (weight 2) and size (weight 1)"


def test_join():
    assert [text.join(p) for p in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == ["", "a", "a and b", "a, b and c"]
