"""Streaming histograms against everything kept in memory."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from autoq.calibration.histogram import BINS, TensorCollector, bin_exponent, bin_number
from autoq.core.errors import DataError
from autoq.core.statistics import TensorStatistics

# Exponents far enough apart to force many merges, and no so far that scaling underflows.
VALUES = st.floats(width=32, min_value=-(2.0**60), max_value=2.0**60, allow_subnormal=False).map(
    lambda v: 0.0 if abs(v) < 2.0**-60 else v
)
ARRAYS = hnp.arrays(np.float32, st.integers(1, 60), elements=VALUES)


def collect(*arrays: np.ndarray, histogram: bool = True) -> TensorStatistics:
    collector = TensorCollector("x", histogram=histogram)
    for array in arrays:
        collector.update(array)
    return collector.statistics()


def brute_force(values: np.ndarray, statistics: TensorStatistics) -> np.ndarray:
    width = (statistics.high - statistics.low) / statistics.counts.size
    numbers = (np.floor(values.astype(np.float64) / width) - statistics.low / width).astype(int)
    return np.bincount(numbers.ravel(), minlength=statistics.counts.size)


def assert_same(a: TensorStatistics, b: TensorStatistics) -> None:
    assert (a.minimum, a.maximum, a.low, a.high, a.elements) == (b.minimum, b.maximum, b.low, b.high, b.elements)
    np.testing.assert_array_equal(a.counts, b.counts)


@given(ARRAYS)
def test_range_is_exact(values: np.ndarray) -> None:
    found = collect(values)
    assert (found.minimum, found.maximum, found.elements) == (values.min(), values.max(), values.size)


@given(st.lists(ARRAYS, min_size=1, max_size=6))
def test_counts_equal_brute_force(arrays: list[np.ndarray]) -> None:
    found = collect(*arrays)
    np.testing.assert_array_equal(found.counts, brute_force(np.concatenate(arrays), found))


@given(st.lists(ARRAYS, min_size=2, max_size=6), st.randoms(use_true_random=False))
def test_order_and_pieces_do_not_matter(arrays: list[np.ndarray], random) -> None:
    shuffled = random.sample(arrays, len(arrays))
    assert_same(collect(*shuffled), collect(np.concatenate(arrays)))


@given(ARRAYS)
def test_bins_are_bounded_and_aligned_to_zero(values: np.ndarray) -> None:
    found = collect(values)
    width = (found.high - found.low) / found.counts.size
    assert found.counts.size <= BINS
    assert math.frexp(width)[0] == 0.5
    assert (found.low / width).is_integer()
    assert found.low <= found.minimum
    assert found.maximum < found.high


@given(VALUES, VALUES)
def test_bins_are_as_narrow_as_the_limit_allows(a: float, b: float) -> None:
    low, high = min(a, b), max(a, b)
    exponent = bin_exponent(low, high)
    narrower = bin_number(high, exponent - 1) - bin_number(low, exponent - 1) + 1
    exact = math.frexp(max(abs(low), abs(high)))[1] - exponent >= 24
    assert narrower > BINS or exact or exponent == -126


def test_many_blocks_count_every_value() -> None:
    values = np.random.default_rng(0).normal(size=300_001).astype(np.float32)
    found = collect(values)
    assert BINS // 2 < found.counts.size <= BINS
    np.testing.assert_array_equal(found.counts, brute_force(values, found))


def test_zeros_before_other_values_are_kept() -> None:
    found = collect(np.zeros(10, np.float32), np.asarray([1e6], np.float32), np.zeros(5, np.float32))
    assert found.counts[0] == 15
    assert found.counts.sum() == 16


@pytest.mark.parametrize("value", [0.0, 1.0, -3.25, 1e-30, 3e38, -3e38])
def test_constant_tensor_fills_one_bin(value: float) -> None:
    found = collect(np.full(7, value, np.float32))
    np.testing.assert_array_equal(found.counts, [7])
    assert found.low <= np.float32(value) < found.high


def test_whole_float32_range() -> None:
    largest = float(np.finfo(np.float32).max)
    found = collect(np.asarray([-largest, 0.0, largest], np.float32))
    assert found.counts.sum() == 3
    assert (found.minimum, found.maximum) == (-largest, largest)


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_other_float_types(dtype: type) -> None:
    values = np.linspace(-2, 5, 1000).astype(dtype)
    found = collect(values)
    assert (found.minimum, found.maximum) == (float(values.min()), float(values.max()))
    np.testing.assert_array_equal(found.counts, brute_force(values, found))


def test_nothing_seen() -> None:
    found = collect(np.zeros((0, 3), np.float32))
    assert (found.elements, found.minimum, found.maximum, found.counts.size) == (0, 0.0, 0.0, 0)


def test_range_only_keeps_no_counts() -> None:
    found = collect(np.asarray([1.5, -2.0], np.float32), histogram=False)
    assert (found.minimum, found.maximum, found.low, found.high) == (-2.0, 1.5, -2.0, 1.5)
    assert not found.counts.size


@pytest.mark.parametrize(("bad", "word"), [(np.nan, "NaN"), (np.inf, "infinite"), (-np.inf, "infinite")])
@pytest.mark.parametrize("histogram", [True, False])
def test_values_that_are_not_finite_are_refused(bad: float, word: str, histogram: bool) -> None:
    with pytest.raises(DataError, match=f"tensor 'x': .*{word}"):
        collect(np.asarray([0.0, bad, 1.0], np.float32), histogram=histogram)


def test_statistics_do_not_change_afterwards() -> None:
    collector = TensorCollector("x")
    collector.update(np.ones(3, np.float32))
    before = collector.statistics()
    collector.update(np.ones(3, np.float32))
    assert before.counts.sum() == 3
