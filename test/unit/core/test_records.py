import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as stn

from autoq.core.records import Records

finite = st.floats(-1e6, 1e6)


@st.composite
def ragged(draw: st.DrawFn) -> list[np.ndarray]:
    width = draw(st.integers(1, 3))
    rows = draw(st.lists(st.integers(0, 4), max_size=6))
    return [draw(stn.arrays(np.float64, (n, width), elements=finite)) for n in rows] or [np.zeros((1, width))]


def listed(records: Records) -> list[list[list[float]]]:
    return [records[i].tolist() for i in range(len(records))]


@given(ragged())
def test_samples_come_out_as_they_went_in(samples: list[np.ndarray]) -> None:
    records = Records.of_ragged(samples, samples[0].shape[1])
    assert listed(records) == [s.tolist() for s in samples]


@given(ragged())
def test_flat_means_one_row_each(samples: list[np.ndarray]) -> None:
    assert Records.of_ragged(samples, samples[0].shape[1]).is_flat == all(len(s) == 1 for s in samples)


@given(ragged())
def test_bytes_hold_everything(samples: list[np.ndarray]) -> None:
    records = Records.of_ragged(samples, samples[0].shape[1])
    again = Records.from_bytes(records.to_bytes())
    assert np.array_equal(again.values, records.values)
    assert np.array_equal(again.offsets, records.offsets)


@given(ragged(), st.data())
def test_take_allows_repeats_and_any_order(samples: list[np.ndarray], data: st.DataObject) -> None:
    records = Records.of_ragged(samples, samples[0].shape[1])
    chosen = data.draw(st.lists(st.integers(0, len(samples) - 1), max_size=8))
    assert listed(records.take(chosen)) == [samples[i].tolist() for i in chosen]


@given(ragged(), st.data())
def test_a_cut_is_undone_by_concatenation(samples: list[np.ndarray], data: st.DataObject) -> None:
    width = samples[0].shape[1]
    records = Records.of_ragged(samples, width)
    cut = data.draw(st.integers(0, len(samples)))
    joined = Records.concatenate([records.first(cut), Records.of_ragged(samples[cut:], width)])
    assert listed(joined) == listed(records)
    assert joined.offsets.dtype == np.int64


@pytest.mark.parametrize("shape", [(5,), (5, 1), (5, 3), (0,), (0, 3)])
def test_rows_give_one_row_per_sample(shape: tuple[int, ...]) -> None:
    records = Records.of_rows(np.arange(np.prod(shape), dtype=np.float32).reshape(shape))
    assert len(records) == shape[0]
    assert records.values.shape == (shape[0], shape[1] if len(shape) > 1 else 1)
    assert records.is_flat


def test_as_many_rows_as_samples_is_not_yet_flat() -> None:
    uneven = Records.of_ragged([np.zeros((2, 1)), np.zeros((0, 1))], 1)
    assert len(uneven.values) == len(uneven)
    assert not uneven.is_flat


def test_nothing_concatenated_is_empty() -> None:
    assert len(Records.concatenate([])) == 0
    assert len(Records.of_ragged([], 2)) == 0


def test_bytes_are_never_unpickled() -> None:
    buffer = io.BytesIO()
    np.savez(buffer, values=np.array([{"a": 1}], dtype=object), offsets=np.zeros(1, np.int64))
    with pytest.raises(ValueError, match="allow_pickle"):
        Records.from_bytes(buffer.getvalue())
