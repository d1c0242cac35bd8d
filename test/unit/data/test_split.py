import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoq.core.errors import DataError
from autoq.data.sources import open_data
from autoq.data.split import split


def indexed(count, batch_size=3):
    return open_data(np.arange(count, dtype=np.float32)[:, None], batch_size=batch_size)


def streamed(count, batch_size=3):
    rows = np.arange(count, dtype=np.float32)[:, None]
    return open_data([(rows[i : i + batch_size], rows[i : i + batch_size, 0]) for i in range(0, count, batch_size)])


def values(source, start=0, stop=None):
    return [float(v) for b in source.batches(start, stop) for v in b.inputs.ravel()]


@given(
    st.integers(2, 40),
    st.floats(0.01, 0.99),
    st.integers(0, 5),
    st.integers(1, 7),
    st.sampled_from([indexed, streamed]),
)
def test_splits_are_disjoint_complete_and_ordered(count, share, seed, batch_size, make):
    tune, held_out = split(make(count, batch_size), share, seed)
    left, right = values(tune), values(held_out)
    assert left == sorted(left)
    assert right == sorted(right)
    assert sorted(left + right) == list(range(count))
    assert (len(left), len(right)) == (tune.samples, held_out.samples)
    assert min(len(left), len(right)) >= 1


def test_the_seed_decides_and_kinds_of_source_agree():
    first = values(split(indexed(50), 0.4, 7)[1])
    assert values(split(indexed(50), 0.4, 7)[1]) == first
    assert values(split(streamed(50), 0.4, 7)[1]) == first
    assert values(split(indexed(50), 0.4, 8)[1]) != first
    assert len(first) == 20


@given(st.integers(0, 30), st.integers(0, 30))
def test_a_streams_subset_reads_any_range(start, stop):
    tune, _ = split(streamed(40, 4), 0.25, 0)
    assert values(tune, start, stop) == values(tune)[start:stop]


def test_a_streams_subset_keeps_the_batch_size_and_labels():
    tune, _ = split(streamed(40, 4), 0.25, 0)
    batches = list(tune.batches())
    assert [b.samples for b in batches] == [4] * 7 + [2]
    assert all(np.array_equal(b.labels, b.inputs[:, 0]) for b in batches)


def test_subsets_have_fingerprints_of_their_own():
    source = streamed(40)
    tune, held_out = split(source, 0.5, 0)
    assert len({source.fingerprint, tune.fingerprint, held_out.fingerprint}) == 3


def test_batches_of_different_shapes_are_not_joined():
    source = open_data([np.zeros((2, length), np.float32) for length in (5, 5, 7, 7)])
    tune, held_out = split(source, 0.25, 3)
    assert sum(b.samples for b in [*tune.batches(), *held_out.batches()]) == 8
    assert {b.inputs.shape[1] for b in tune.batches()} <= {5, 7}


@pytest.mark.parametrize("share", [0.0, 1.0, -0.5])
def test_a_share_must_be_a_share(share):
    with pytest.raises(DataError, match="held-out share"):
        split(indexed(10), share, 0)


def test_one_sample_cannot_be_split():
    with pytest.raises(DataError, match="one sample cannot be divided"):
        split(indexed(1), 0.5, 0)
