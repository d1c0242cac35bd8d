"""Grids of 8-bit tensors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoq.adaptors.tensorflow.ranges import Grid, Ranges
from autoq.core.errors import TrialError
from autoq.core.precision import DType, Observer, Scheme, TensorQuant
from autoq.core.statistics import Calibration, TensorStatistics

QUANT = TensorQuant(DType.UINT8, Scheme.ASYM)
values = st.floats(-1e4, 1e4, width=32).filter(lambda v: abs(v) > 1e-3)


def seen(low: float, high: float) -> TensorStatistics:
    return TensorStatistics(low, high, np.ones(64, np.int64), low, high, 64)


def ranges(**tensors: tuple[float, float]) -> Ranges:
    return Ranges(Calibration({name: seen(*both) for name, both in tensors.items()}, 1, "test"), {})


def grid(low: float, high: float, *, centred: bool = False) -> Grid:
    return ranges(t=(low, high)).grid([("t", QUANT)], centred=centred)


@given(one=values, other=values, centred=st.booleans())
def test_a_grid_covers_what_was_seen(one: float, other: float, *, centred: bool) -> None:
    low, high = min(one, other), max(one, other)
    found = grid(low, high, centred=centred)
    assert found.real[0] <= min(low, 0) + found.scale
    assert found.real[1] >= max(high, 0) - found.scale


@given(one=values, other=values, centred=st.booleans())
def test_zero_lies_on_every_grid(one: float, other: float, *, centred: bool) -> None:
    found = grid(min(one, other), max(one, other), centred=centred)
    assert found.stored(0.0) == found.zero_point


@given(one=values, other=values)
def test_a_centred_grid_stores_zero_as_zero(one: float, other: float) -> None:
    assert grid(min(one, other), max(one, other), centred=True).zero_point == 0


@pytest.mark.parametrize("centred", [True, False])
def test_values_that_are_all_positive_are_unsigned_without_zero_point(*, centred: bool) -> None:
    assert grid(0.5, 6.0, centred=centred) == Grid(False, np.float32(6.0 / 255).item())


def test_negative_values_are_signed_where_zero_has_to_be_zero() -> None:
    assert grid(-2.0, 1.0, centred=True).kind == "qint8"


def test_negative_values_are_unsigned_elsewhere() -> None:
    found = grid(-1.0, 2.0)
    assert (found.kind, found.zero_point) == ("quint8", 85)


@given(scale=st.floats(1e-6, 1e3), stored=st.integers(-127, 127))
def test_signed_values_are_the_same_in_unsigned_bytes(scale: float, stored: int) -> None:
    signed = Grid(True, scale)
    assert signed.unsigned.stored(stored * scale) == signed.stored(stored * scale) + 128


def test_tensors_that_are_stored_alike_share_the_widest_range() -> None:
    found = ranges(a=(0.0, 2.0), b=(-1.0, 1.0)).grid([("a", QUANT), ("b", QUANT)], centred=False)
    assert found == grid(-1.0, 2.0)


def test_the_observer_decides_the_range() -> None:
    counts = np.zeros(2048, np.int64)
    counts[:20], counts[-1] = 100_000, 1
    outlier = TensorStatistics(0.0, 100.0, counts, 0.0, 100.0, int(counts.sum()))
    made = Ranges(Calibration({"t": outlier}, 1, "test"), {})
    percentile = TensorQuant(DType.UINT8, Scheme.ASYM, observer=Observer.PERCENTILE)
    assert made.grid([("t", percentile)], centred=False).scale < made.grid([("t", QUANT)], centred=False).scale / 10


def test_grids_are_kept_apart_by_calibration() -> None:
    memo: dict[object, Grid] = {}
    first, second = (Calibration({"t": seen(0, high)}, 1, f"digest {high}") for high in (1.0, 2.0))
    scales = [Ranges(c, memo).grid([("t", QUANT)], centred=False).scale for c in (first, second)]
    assert scales[1] == pytest.approx(2 * scales[0])


def test_a_tensor_without_statistics_is_named() -> None:
    with pytest.raises(TrialError, match="missing:0"):
        ranges().grid([("missing:0", QUANT)], centred=False)
