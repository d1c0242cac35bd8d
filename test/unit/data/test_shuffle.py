import numpy as np
import pytest

from autoq.data.arrays import ArrayTable
from autoq.data.indexed import IndexedSource
from autoq.data.iterable import IterableSource
from autoq.data.shuffle import shuffled


def rows(source, start=0, stop=None):
    return np.concatenate([b.inputs for b in source.batches(start, stop)])[:, 0].astype(int).tolist()


def labels(source):
    return [int(x) for b in source.batches() for x in b.labels]


def indexed(count=20):
    data = np.arange(count, dtype=np.float32).reshape(-1, 1)
    return IndexedSource(ArrayTable(data, np.arange(count)), batch_size=3)


def stream(count=20, width=1):
    items = [(np.full((1, width), i, np.float32), np.array([i])) for i in range(count)]
    return IterableSource(lambda: items, batch_size=3)


@pytest.mark.parametrize("source", [indexed(), stream()], ids=["by number", "stream"])
def test_every_sample_comes_once_with_its_label(source):
    mixed = shuffled(source, 0)
    assert sorted(rows(mixed)) == list(range(20))
    assert rows(mixed) != list(range(20))
    assert labels(mixed) == rows(mixed)


@pytest.mark.parametrize("source", [indexed(), stream()], ids=["by number", "stream"])
def test_the_order_is_drawn_by_the_seed(source):
    assert rows(shuffled(source, 0)) == rows(shuffled(source, 0))
    assert rows(shuffled(source, 0)) != rows(shuffled(source, 1))
    assert shuffled(source, 0).fingerprint != shuffled(source, 1).fingerprint


@pytest.mark.parametrize("source", [indexed(), stream()], ids=["by number", "stream"])
def test_parts_are_those_of_the_whole(source):
    mixed = shuffled(source, 0)
    assert rows(mixed, 4, 11) == rows(mixed)[4:11]


@pytest.mark.parametrize("source", [indexed(), stream()], ids=["by number", "stream"])
def test_shuffled_samples_can_be_put_in_another_order(source):
    mixed = shuffled(source, 0)
    order = np.arange(20)[::-1].copy()
    assert rows(mixed.select(order)) == rows(mixed)[::-1]


def test_one_label_of_one_row_needs_no_list():
    source = IterableSource(lambda: [(np.zeros(1, np.float32), 7)])
    assert labels(source) == [7]


def test_a_large_stream_is_not_held():
    assert shuffled(stream(), 0, most_bytes=40) is None


def test_a_stream_of_samples_of_several_shapes_is_not_shuffled():
    ragged = IterableSource(lambda: [np.zeros((1, 2), np.float32), np.zeros((1, 3), np.float32)])
    assert shuffled(ragged, 0) is None
