"""Ranges, grids and weight scales: what holds for every tensor."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from autoq.calibration.bins import Bins
from autoq.calibration.entropy import divergence, without_zero_spike
from autoq.calibration.grid import SMALLEST_SCALE, grid_limits
from autoq.calibration.histogram import TensorCollector
from autoq.calibration.squared_error import squared_errors
from autoq.calibration.thresholds import (
    PERCENTILE,
    activation_range,
    quantize_weight,
    scale_zero_point,
    weight_scales,
)
from autoq.core.errors import DataError, ModelError, UnsupportedError
from autoq.core.precision import DType, Granularity, Observer, Scheme, TensorQuant
from autoq.core.statistics import TensorStatistics

FLOATS = st.floats(-1e4, 1e4, width=32).map(lambda v: 0.0 if abs(v) < 1e-4 else v)
TENSORS = st.one_of(
    hnp.arrays(np.float32, st.integers(1, 200), elements=FLOATS),
    st.builds(
        lambda seed, shift, scale, power: (
            scale * np.sign(v := np.random.default_rng(seed).normal(size=3000)) * np.abs(v) ** power + shift
        ).astype(np.float32),
        st.integers(0, 9999),
        st.floats(-3, 3),
        st.floats(0.01, 50),
        st.sampled_from([1, 2, 3]),
    ),
)
QUANTS = st.builds(
    TensorQuant,
    st.sampled_from([DType.INT8, DType.UINT8]),
    st.sampled_from(list(Scheme)),
    observer=st.sampled_from(Observer),
)


def statistics_of(values: np.ndarray) -> TensorStatistics:
    collector = TensorCollector("x")
    collector.update(values)
    return collector.statistics()


def quantize(values: np.ndarray, low: float, high: float, quant: TensorQuant) -> np.ndarray:
    scale, zero_point = scale_zero_point(low, high, quant)
    stored = np.clip(np.rint(values.astype(np.float64) / scale) + zero_point, *grid_limits(quant))
    return (stored - zero_point) * np.float64(scale)


@given(TENSORS, QUANTS)
def test_range_contains_zero_and_lies_inside_what_was_seen(values: np.ndarray, quant: TensorQuant) -> None:
    low, high = activation_range(statistics_of(values), quant)
    bottom, top = min(0.0, float(values.min())), max(0.0, float(values.max()))
    if quant.scheme is Scheme.SYM:
        top = max(-bottom, top)
        bottom = -top
        assert low == -high
    assert bottom <= low <= 0.0 <= high <= top


@given(TENSORS, QUANTS)
def test_minmax_keeps_everything(values: np.ndarray, quant: TensorQuant) -> None:
    low, high = activation_range(statistics_of(values), TensorQuant(quant.dtype, quant.scheme))
    assert low <= values.min()
    assert values.max() <= high


@given(TENSORS, st.sampled_from(list(Scheme)))
def test_percentile_keeps_its_share(values: np.ndarray, scheme: Scheme) -> None:
    quant = TensorQuant(DType.UINT8, scheme, observer=Observer.PERCENTILE)
    low, high = activation_range(statistics_of(values), quant)
    kept = np.count_nonzero((values >= low) & (values <= high))
    assert kept >= values.size * PERCENTILE / 100 - 1e-9


@pytest.mark.parametrize("scheme", list(Scheme))
def test_percentile_drops_rare_outliers(scheme: Scheme) -> None:
    values = np.random.default_rng(0).uniform(-1, 2, 400_000).astype(np.float32)
    values[0] = 40.0
    quant = TensorQuant(DType.UINT8, scheme, observer=Observer.PERCENTILE)
    assert activation_range(statistics_of(values), quant)[1] == pytest.approx(2.0, abs=0.1)


@given(TENSORS, st.sampled_from([DType.INT8, DType.UINT8]), st.sampled_from(list(Scheme)))
def test_mse_is_never_worse_than_minmax_in_squared_error(values: np.ndarray, dtype: DType, scheme: Scheme) -> None:
    statistics = statistics_of(values)
    quant = TensorQuant(dtype, scheme, observer=Observer.MSE)
    chosen = activation_range(statistics, quant)
    whole = activation_range(statistics, TensorQuant(dtype, scheme))
    found, limit = squared_errors(
        Bins.of(statistics), np.asarray([chosen[0], whole[0]]), np.asarray([chosen[1], whole[1]]), quant
    )
    assert found <= limit * (1 + 1e-12)


@given(TENSORS, st.sampled_from([DType.INT8, DType.UINT8]), st.sampled_from(list(Scheme)))
def test_kl_is_never_worse_than_minmax_in_divergence(values: np.ndarray, dtype: DType, scheme: Scheme) -> None:
    assume(np.any(values))
    statistics = statistics_of(values)
    quant = TensorQuant(dtype, scheme, observer=Observer.KL)
    bins = without_zero_spike(Bins.of(statistics))
    chosen = divergence(bins, *activation_range(statistics, quant), quant)
    assert chosen <= divergence(bins, *activation_range(statistics, TensorQuant(dtype, scheme)), quant) + 1e-12


@given(TENSORS)
def test_divergence_is_not_negative(values: np.ndarray) -> None:
    statistics = statistics_of(values)
    quant = TensorQuant(DType.UINT8, Scheme.ASYM)
    low, high = activation_range(statistics, quant)
    assert divergence(Bins.of(statistics), low, high, quant) >= -1e-9


@pytest.mark.parametrize("observer", [Observer.KL, Observer.MSE, Observer.PERCENTILE])
@pytest.mark.parametrize("scheme", list(Scheme))
def test_observers_lower_the_real_error_of_a_heavy_tail(observer: Observer, scheme: Scheme) -> None:
    values = np.random.default_rng(1).laplace(size=500_000).astype(np.float32)
    values[:2] = 60.0, -60.0
    statistics = statistics_of(values)
    inner = np.abs(values) < 8

    def error(observer: Observer) -> float:
        quant = TensorQuant(DType.UINT8, scheme, observer=observer)
        return float(np.square(quantize(values, *activation_range(statistics, quant), quant) - values)[inner].mean())

    assert error(observer) < 0.5 * error(Observer.MINMAX)


def test_mse_agrees_with_a_search_on_the_values_themselves() -> None:
    values = np.random.default_rng(2).normal(size=200_000).astype(np.float32)
    quant = TensorQuant(DType.INT8, Scheme.SYM, observer=Observer.MSE)
    chosen = activation_range(statistics_of(values), quant)
    limits = np.linspace(2.5, float(np.abs(values).max()), 60)
    errors = [float(np.square(quantize(values, -t, t, quant) - values).mean()) for t in limits]
    found = float(np.square(quantize(values, *chosen, quant) - values).mean())
    assert found <= min(errors) * 1.02


def test_kl_does_not_see_the_zeros_of_a_relu() -> None:
    rng = np.random.default_rng(3)
    positive = rng.gamma(2.0, size=100_000).astype(np.float32)
    quant = TensorQuant(DType.UINT8, Scheme.ASYM, observer=Observer.KL)
    with_zeros = np.concatenate([positive, np.zeros(300_000, np.float32)])
    assert activation_range(statistics_of(with_zeros), quant) == activation_range(statistics_of(positive), quant)


@pytest.mark.parametrize("observer", list(Observer))
@pytest.mark.parametrize("value", [0.0, 2.5, -1.0, 1e-30])
def test_constant_tensors_have_a_range(observer: Observer, value: float) -> None:
    quant = TensorQuant(DType.UINT8, Scheme.ASYM, observer=observer)
    found = activation_range(statistics_of(np.full(9, value, np.float32)), quant)
    stored = np.float32(value)
    assert found == (min(0.0, stored), max(0.0, stored))


@pytest.mark.parametrize("observer", [Observer.PERCENTILE, Observer.KL, Observer.MSE])
def test_observer_without_histogram_is_refused(observer: Observer) -> None:
    statistics = TensorStatistics(-1.0, 1.0, np.zeros(0, np.int64), -1.0, 1.0, 10)
    with pytest.raises(DataError, match=f"observer {observer} needs a histogram"):
        activation_range(statistics, TensorQuant(DType.UINT8, Scheme.ASYM, observer=observer))


GRIDS = st.builds(
    TensorQuant,
    st.sampled_from([DType.INT8, DType.UINT8, DType.INT4, DType.UINT4, DType.INT16]),
    st.sampled_from(Scheme),
)


@given(FLOATS, FLOATS, GRIDS)
def test_zero_is_exact(a: float, b: float, quant: TensorQuant) -> None:
    low, high = min(a, b), max(a, b)
    bottom, top = grid_limits(quant)
    _, zero_point = scale_zero_point(low, high, quant)
    assert bottom <= zero_point <= top
    assert quantize(np.zeros(1), low, high, quant)[0] == 0.0


@given(FLOATS, FLOATS, GRIDS, st.floats(0, 1))
def test_round_trip_is_within_half_a_scale(a: float, b: float, quant: TensorQuant, position: float) -> None:
    low, high = min(a, b, 0.0), max(a, b, 0.0)
    value = np.asarray([low + position * (high - low)])
    scale, _ = scale_zero_point(low, high, quant)
    assert abs(quantize(value, low, high, quant)[0] - value[0]) <= float(scale) * (0.5 + 1e-4)


@pytest.mark.parametrize(
    ("low", "high", "quant", "scale", "zero_point"),
    [
        (0.0, 255.0, TensorQuant(DType.UINT8, Scheme.ASYM), 1.0, 0),
        (-255.0, 0.0, TensorQuant(DType.UINT8, Scheme.ASYM), 1.0, 255),
        (-128.0, 127.0, TensorQuant(DType.INT8, Scheme.ASYM), 1.0, 0),
        (-3.0, 127.0, TensorQuant(DType.INT8, Scheme.SYM), 1.0, 0),
        (-3.0, 127.0, TensorQuant(DType.UINT8, Scheme.SYM), 1.0, 128),
        (0.0, 0.0, TensorQuant(DType.UINT8, Scheme.ASYM), 1.0, 0),
        (5.0, 255.0, TensorQuant(DType.UINT8, Scheme.ASYM), 1.0, 0),
    ],
)
def test_known_grids(low: float, high: float, quant: TensorQuant, scale: float, zero_point: int) -> None:
    assert scale_zero_point(low, high, quant) == (np.float32(scale), zero_point)


def test_tiny_ranges_keep_a_normal_scale() -> None:
    scale, _ = scale_zero_point(0.0, 1e-40, TensorQuant(DType.UINT8, Scheme.ASYM))
    assert scale == np.float32(SMALLEST_SCALE)


def test_float_types_have_no_grid() -> None:
    with pytest.raises(UnsupportedError, match="bf16 has no integer grid"):
        scale_zero_point(0.0, 1.0, TensorQuant(DType.BF16))


PER_CHANNEL = TensorQuant(DType.INT8, granularity=Granularity.PER_CHANNEL)
WEIGHTS = hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=4, max_side=5), elements=FLOATS)


@given(WEIGHTS, st.data())
def test_weights_round_trip_within_half_a_scale(weight: np.ndarray, data: st.DataObject) -> None:
    axis = data.draw(st.sampled_from([None, *range(weight.ndim), -1]))
    scales = weight_scales(weight, PER_CHANNEL, axis)
    stored = quantize_weight(weight, scales, axis)
    columns = (
        scales if axis is None else scales.reshape([-1 if i == axis % weight.ndim else 1 for i in range(weight.ndim)])
    )
    assert stored.dtype == np.int8
    assert stored.shape == weight.shape
    assert stored.min() >= -127
    assert (np.abs(stored * columns.astype(np.float64) - weight) <= columns * 0.5001).all()


@given(WEIGHTS)
def test_per_channel_scales_are_those_of_each_channel_alone(weight: np.ndarray) -> None:
    scales = weight_scales(weight, PER_CHANNEL, 0)
    alone = [weight_scales(channel, PER_CHANNEL, None)[0] for channel in weight]
    for scale, single, channel in zip(scales, alone, weight, strict=True):
        assert scale == (single if channel.any() else scales.max())


def test_all_zero_weight_has_scale_one() -> None:
    np.testing.assert_array_equal(weight_scales(np.zeros((3, 2), np.float32), PER_CHANNEL, 0), [1, 1, 1])


def test_channel_count_decides_the_number_of_scales() -> None:
    weight = np.ones((4, 3, 2), np.float32)
    assert [weight_scales(weight, PER_CHANNEL, axis).shape for axis in (None, 0, 1, 2)] == [(1,), (4,), (3,), (2,)]


def test_int4_weights_use_their_own_grid() -> None:
    quant = TensorQuant(DType.INT4)
    weight = np.asarray([-7.0, 3.4, 7.0], np.float32)
    scales = weight_scales(weight, quant, None)
    np.testing.assert_array_equal(quantize_weight(weight, scales, None, quant), [-7, 3, 7])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("axis", [None, 0])
def test_weights_that_are_not_finite_are_refused(bad: float, axis: int | None) -> None:
    with pytest.raises(ModelError, match="NaN or infinities"):
        weight_scales(np.asarray([[1.0, bad], [0.0, 1.0]], np.float32), PER_CHANNEL, axis)


@pytest.mark.parametrize(
    "quant",
    [TensorQuant(DType.UINT8), TensorQuant(DType.INT8, Scheme.ASYM), TensorQuant(DType.INT8, observer=Observer.KL)],
)
def test_other_forms_of_weights_are_refused(quant: TensorQuant) -> None:
    with pytest.raises(UnsupportedError):
        weight_scales(np.ones((2, 2), np.float32), quant, None)
