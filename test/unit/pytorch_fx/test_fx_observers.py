"""Observers filled from statistics, and statistics of several tensors together."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.ao.quantization import MinMaxObserver

from autoq.adaptors.pytorch.guard import guarded
from autoq.adaptors.pytorch_fx.observers import PlannedObserver, merged
from autoq.calibration.histogram import TensorCollector
from autoq.core.errors import TrialError
from autoq.core.precision import DType, Observer, Scheme, TensorQuant

ASYM = TensorQuant(DType.UINT8, Scheme.ASYM)
SYM = TensorQuant(DType.INT8, Scheme.SYM)

arrays = st.lists(
    st.lists(st.floats(-1e4, 1e4, width=32), min_size=1, max_size=40).map(lambda v: np.asarray(v, np.float32)),
    min_size=1,
    max_size=5,
)


def collected(*parts: np.ndarray, histogram: bool = True):
    collector = TensorCollector("x", histogram=histogram)
    for part in parts:
        collector.update(part)
    return collector.statistics()


@given(arrays)
def test_merged_statistics_are_those_of_one_collector(parts: list[np.ndarray]) -> None:
    together = merged([collected(part) for part in parts])
    want = collected(*parts)
    assert (together.minimum, together.maximum, together.low, together.high) == (
        want.minimum,
        want.maximum,
        want.low,
        want.high,
    )
    assert together.elements == want.elements
    np.testing.assert_array_equal(together.counts, want.counts)


@given(arrays)
def test_merged_ranges_need_no_histogram(parts: list[np.ndarray]) -> None:
    together = merged([collected(part, histogram=False) for part in parts])
    want = collected(*parts, histogram=False)
    assert (together.minimum, together.maximum, together.elements) == (want.minimum, want.maximum, want.elements)


def test_nothing_seen_cannot_be_merged() -> None:
    with pytest.raises(TrialError, match="no value"):
        merged([])


@settings(max_examples=60)
@given(arrays)
def test_filled_observer_equals_one_that_watched(parts: list[np.ndarray]) -> None:
    watching = MinMaxObserver(dtype=torch.quint8, quant_min=0, quant_max=255)
    for part in parts:
        watching(torch.from_numpy(part))
    filled = PlannedObserver(ASYM)
    filled.fill(collected(*parts))
    with guarded():
        (scale, zero), (other_scale, other_zero) = watching.calculate_qparams(), filled.calculate_qparams()
    assert torch.equal(scale, other_scale)
    assert torch.equal(zero, other_zero)


@given(arrays)
def test_symmetric_grid_is_centred_on_128_and_reaches_127_steps(parts: list[np.ndarray]) -> None:
    observer = PlannedObserver(SYM)
    statistics = collected(*parts)
    observer.fill(statistics)
    with guarded():
        scale, zero = observer.calculate_qparams()
    reach = max(abs(statistics.minimum), abs(statistics.maximum))
    assert int(zero) == 128
    assert float(scale) == pytest.approx(max(reach / 127, float(observer.eps)), rel=1e-6)


@pytest.mark.parametrize("observer", [Observer.PERCENTILE, Observer.KL])
def test_other_observers_leave_outliers_out(observer: Observer) -> None:
    values = np.random.default_rng(0).normal(size=200_000).astype(np.float32)
    values[0] = 400.0
    filled = PlannedObserver(TensorQuant(DType.UINT8, Scheme.ASYM, observer=observer))
    filled.fill(collected(values))
    assert float(filled.max_val) < 100.0
