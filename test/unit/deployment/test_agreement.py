"""Signal to difference, and the first op that differs."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from autoq.core.agreement import sqnr, worst
from autoq.core.deployed import OpAgreement
from autoq.tuning.deployment.agreement import ENOUGH, first_diverging, limit_of


def test_equal_arrays_have_no_difference():
    assert sqnr(np.arange(4.0), np.arange(4.0)) == math.inf


def test_a_tenth_of_the_amplitude_is_twenty_decibels():
    signal = np.full(8, 10.0)
    assert math.isclose(sqnr(signal, signal + 1), 20.0)


@given(st.floats(0.01, 100), st.floats(0.001, 1))
def test_agreement_does_not_depend_on_the_scale(scale, share):
    signal = np.linspace(1, 2, 16)
    assert math.isclose(sqnr(scale * signal, scale * signal * (1 + share)), -20 * math.log10(share), abs_tol=1e-6)


def test_other_shapes_are_nothing_alike():
    assert sqnr(np.ones(4), np.ones((2, 2))) == -math.inf


def test_a_nan_on_one_side_is_nothing_alike():
    assert sqnr(np.array([1.0, 2.0]), np.array([1.0, math.nan])) == -math.inf


def test_equal_infinities_are_left_out():
    assert sqnr(np.array([1.0, -math.inf]), np.array([1.0, -math.inf])) == math.inf


def test_the_worst_output_counts():
    expected = {"a": np.full(4, 10.0), "b": np.full(4, 10.0)}
    assert math.isclose(worst(expected, {"a": np.full(4, 11.0), "b": np.full(4, 10.0)}), 20.0)


def test_an_output_that_is_missing_is_nothing_alike():
    assert worst({"a": np.ones(2)}, {"b": np.ones(2)}) == -math.inf


def test_whole_numbers_beside_scores_are_left_out():
    expected = {"scores": np.full(4, 10.0), "classes": np.arange(4)}
    assert worst(expected, {"scores": np.full(4, 10.0), "classes": np.arange(4) + 1}) == math.inf


def test_noise_above_rounding_does_not_tighten_the_limit():
    assert limit_of(70.0) == ENOUGH


@given(st.integers(0, 2**32 - 1))
def test_two_independent_roundings_agree_well_enough(seed):
    random = np.random.default_rng(seed)
    signal = random.normal(size=4096)
    first, second = (signal + random.uniform(-0.05, 0.05, signal.shape) for _ in range(2))
    noise = sqnr(signal, first)
    assert sqnr(first, second) > limit_of(noise) - 0.5


def test_the_first_in_execution_order_is_told_and_not_the_worst():
    ops = (OpAgreement("a", 60.0), OpAgreement("b", 20.0), OpAgreement("c", 3.0))
    assert first_diverging(ops, 30.0) == ops[1]


def test_small_differences_have_no_first_op():
    assert first_diverging((OpAgreement("a", 50.0), OpAgreement("b", 41.0)), 60.0) is None


def test_a_runtime_with_grids_of_its_own_may_err_by_more():
    assert math.isclose(limit_of(30.0) - limit_of(30.0, own_grids=True), 10 * math.log10(2))
    assert limit_of(70.0, own_grids=True) == ENOUGH
