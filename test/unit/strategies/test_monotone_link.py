import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoq.strategies.monotone import MonotoneLink, isotonic

VALUES = st.lists(st.floats(-10, 10), min_size=1, max_size=30)


@given(VALUES)
def test_isotonic_never_falls(values: list[float]) -> None:
    fitted = isotonic(np.array(values), np.ones(len(values)))
    assert (np.diff(fitted) >= -1e-12).all()


@given(VALUES)
def test_isotonic_keeps_the_mean(values: list[float]) -> None:
    assert isotonic(np.array(values), np.ones(len(values))).mean() == pytest.approx(np.mean(values), abs=1e-9)


@given(VALUES)
def test_isotonic_leaves_what_rises_as_it_is(values: list[float]) -> None:
    rising = np.unique(values)
    assert isotonic(rising, np.ones(len(rising))) == pytest.approx(rising)


@given(VALUES, st.lists(st.floats(-10, 10), min_size=30, max_size=30))
def test_no_other_rising_sequence_is_nearer(values: list[float], other: list[float]) -> None:
    fitted = isotonic(np.array(values), np.ones(len(values)))
    rival = np.sort(other)[: len(values)]
    assert ((fitted - values) ** 2).sum() <= ((rival - values) ** 2).sum() + 1e-9


def test_the_heavier_point_counts_for_more() -> None:
    assert isotonic(np.array([1.0, 0.0]), np.array([3.0, 1.0])) == pytest.approx([0.75, 0.75])


def test_without_points_nothing_is_lost() -> None:
    assert MonotoneLink().limit == math.inf


def test_one_point_gives_a_straight_line_from_zero() -> None:
    link = MonotoneLink()
    link.fit([0.04], [1.0], [0.1])
    assert link.limit == pytest.approx(0.02)


def test_the_limit_lies_between_what_held_and_what_did_not() -> None:
    link = MonotoneLink()
    link.fit([0.01, 0.02, 0.05], [-0.6, -0.2, 0.7], [0.1, 0.1, 0.1])
    assert 0.02 < link.limit < 0.05


def test_a_criterion_that_fp32_only_just_keeps_has_the_limit_zero() -> None:
    link = MonotoneLink(floor=0.0)
    link.fit([0.01], [5.0], [0.1])
    assert link.limit == 0.0


@given(st.lists(st.tuples(st.floats(1e-6, 1), st.floats(-1, 20)), min_size=1, max_size=20))
def test_excess_never_falls_with_divergence(points: list[tuple[float, float]]) -> None:
    link = MonotoneLink()
    link.fit([d for d, _ in points], [e for _, e in points], [0.1] * len(points))
    seen = [link.excess(d) for d in np.linspace(0, 2, 50)]
    assert (np.diff(seen) >= -1e-9).all()
