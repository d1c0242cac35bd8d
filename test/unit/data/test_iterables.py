import sys

import numpy as np
import pytest

from autoq.config.schema import Dataloader
from autoq.core.batch import TensorSpec
from autoq.core.errors import ConfigError, DataError
from autoq.data.iterable import IterableSource
from autoq.data.sources import open_data, open_dataloader

SPEC = [TensorSpec("x", "float32", ("batch", 3))]
TWO = [TensorSpec("a", "float32", ("batch", 3)), TensorSpec("b", "float32", ("batch", 3))]
X = np.arange(30, dtype=np.float32).reshape(10, 3)


def rows(source, *window):
    return np.concatenate([b.inputs["x"] for b in source.batches(*window)])


def test_a_two_tuple_means_inputs_and_label():
    (batch,) = open_data([(X, np.arange(10))], input_specs=SPEC).batches()
    assert np.array_equal(batch.labels, np.arange(10))
    assert np.array_equal(batch.inputs["x"], X)


def test_a_list_means_positional_inputs():
    (batch,) = open_data([[X, X + 1]], input_specs=TWO).batches()
    assert batch.labels is None
    assert np.array_equal(batch.inputs["b"], X + 1)


def test_a_dict_by_name_may_hold_its_labels():
    (batch,) = open_data([{"x": X, "labels": np.arange(10)}], input_specs=SPEC).batches()
    assert list(batch.inputs) == ["x"]
    assert np.array_equal(batch.labels, np.arange(10))


def test_single_samples_are_recognized_by_their_rank_and_batched():
    source = open_data([(x, i) for i, x in enumerate(X)], batch_size=4, input_specs=SPEC)
    batches = list(source.batches())
    assert [b.samples for b in batches] == [4, 4, 2]
    assert np.array_equal(np.concatenate([b.labels for b in batches]), np.arange(10))


def test_text_labels_stay_strings():
    (batch,) = open_data([(x, f"t{i}") for i, x in enumerate(X)], batch_size=10, input_specs=SPEC).batches()
    assert batch.labels[:2] == ["t0", "t1"]


def test_labels_of_different_lengths_stay_a_list():
    items = [(x, np.ones((i, 5))) for i, x in enumerate(X)]
    (batch,) = open_data(items, batch_size=10, input_specs=SPEC).batches()
    assert [len(label) for label in batch.labels] == list(range(10))


def test_samples_of_another_shape_start_a_new_batch():
    spec = [TensorSpec("x", "float32", ("batch", "length"))]
    items = [np.ones(n, np.float32) for n in (3, 3, 5, 5, 5)]
    source = open_data(items, batch_size=4, input_specs=spec)
    assert [b.inputs["x"].shape for b in source.batches()] == [(2, 3), (3, 5)]


def test_rows_per_sample_of_single_rows():
    source = open_data(list(X), batch_size=2, rows_per_sample=2, input_specs=SPEC)
    assert [b.samples for b in source.batches()] == [2, 2, 1]
    assert source.samples == 5


def test_a_generator_is_kept_and_read_twice():
    source = open_data((row[None] for row in X), input_specs=SPEC)
    assert np.array_equal(rows(source), X)
    assert np.array_equal(rows(source), X)
    assert source.samples == 10


def test_a_generator_too_large_to_keep_is_refused():
    with pytest.raises(DataError, match="read only once"):
        IterableSource(lambda: data, cache_limit=100) if (data := (row[None] for row in np.ones((50, 9)))) else None


def test_an_endless_generator_is_read_up_to_the_limit():
    def forever():
        while True:
            yield X

    source = open_data(forever(), limit=25, input_specs=SPEC)
    assert source.samples == 25


def test_a_shuffling_iterable_is_kept_so_that_order_stays():
    class Shuffling:
        def __init__(self):
            self.generator = np.random.default_rng(0)

        def __iter__(self):
            return iter(X[self.generator.permutation(10)][:, None])

    source = open_data(Shuffling(), input_specs=SPEC)
    assert np.array_equal(rows(source), rows(source))
    assert sorted(rows(source)[:, 0]) == sorted(X[:, 0])


def test_a_stable_iterable_is_streamed_and_not_kept():
    class Loader:
        readings = 0

        def __iter__(self):
            self.readings += 1
            return iter([X[:5], X[5:]])

    loader = Loader()
    source = open_data(loader, input_specs=SPEC)
    before = loader.readings
    list(source.batches())
    assert loader.readings == before + 1
    assert source.samples is None


@pytest.mark.parametrize("window", [(0, 3), (4, 9), (5, None), (10, None), (0, 100)])
def test_windows_cut_batches(window):
    source = open_data([X[:4], X[4:8], X[8:]], input_specs=SPEC, offset=1)
    found = [b.inputs["x"] for b in source.batches(*window)]
    expected = X[1:][slice(*window)]
    assert np.array_equal(np.concatenate(found) if found else X[:0], expected)


def test_fingerprint_follows_content():
    assert open_data([X]).fingerprint == open_data([X.copy()]).fingerprint
    assert open_data([X]).fingerprint != open_data([X + 1]).fingerprint


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "no samples"),
        (iter([]), "no samples"),
        (5, "cannot be iterated"),
        ([None], "inputs must be arrays"),
        (["text"], "inputs must be arrays"),
        ([(X, X, X)], "tuple of 3"),
        ([(X, np.arange(3))], "3 labels for 10 samples"),
        ([{}], "empty dict"),
        ([(X, {"boxes": 1})], "not a dict"),
        ([np.array(["a"])], "must be numbers"),
        ([X * np.nan], "holds nan in sample 0"),
        ([X, X[:, :2]], "the data have [10, 2]"),
    ],
)
def test_bad_data_are_explained(data, message):
    with pytest.raises(DataError) as caught:
        list(open_data(data, input_specs=SPEC).batches())
    assert message in str(caught.value)


def test_an_exception_of_the_users_code_names_its_line():
    def broken():
        yield X
        raise RuntimeError("disk on fire")

    with pytest.raises(DataError, match=r"test_iterables.py:\d+: .*RuntimeError: disk on fire"):
        open_data(broken(), where="my data")


def test_torch_loader_pairs_and_tensors():
    torch = pytest.importorskip("torch")
    dataset = torch.utils.data.TensorDataset(torch.from_numpy(X.copy()), torch.arange(10))
    loader = torch.utils.data.DataLoader(dataset, batch_size=4)
    batches = list(open_data(loader, input_specs=SPEC).batches())
    assert [b.samples for b in batches] == [4, 4, 2]
    assert batches[2].labels.tolist() == [8, 9]


def test_torch_loader_of_lists_gives_positional_inputs():
    torch = pytest.importorskip("torch")
    loader = torch.utils.data.DataLoader([[x, x + 1] for x in X], batch_size=5)
    batch = next(open_data(loader, input_specs=TWO).batches())
    assert np.array_equal(batch.inputs["b"], X[:5] + 1)


def test_shuffled_torch_loader_keeps_one_order():
    torch = pytest.importorskip("torch")
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.from_numpy(X.copy())), shuffle=True)
    source = open_data(loader, input_specs=SPEC)
    assert np.array_equal(rows(source), rows(source))


def test_tensors_with_a_numpy_method_are_read():
    class Tensor:
        def numpy(self):
            return X

    (batch,) = open_data([Tensor()], input_specs=SPEC).batches()
    assert np.array_equal(batch.inputs["x"], X)


@pytest.fixture
def module(tmp_path):
    (tmp_path / "data_functions_for_test.py").write_text(
        "import numpy as np\n"
        "X = np.arange(30, dtype=np.float32).reshape(10, 3)\n"
        "def batches(size=5):\n    for i in range(0, 10, size):\n        yield X[i:i + size], np.arange(i, i + size)\n"
        "def arrays():\n    return X, np.arange(10)\n"
        "def nothing():\n    return None\n"
        "def broken():\n    raise KeyError('absent')\n"
    )
    yield tmp_path
    sys.path[:] = [p for p in sys.path if p != str(tmp_path)]
    sys.modules.pop("data_functions_for_test", None)


def from_function(folder, name, **more):
    python = {"function": f"data_functions_for_test:{name}", "path": ".", **more}
    return open_dataloader(Dataloader.model_validate({"dataset": {"python": python}, "batch_size": 4}), folder, SPEC)


def test_a_generator_function_is_called_anew_for_each_reading(module):
    source = from_function(module, "batches", arguments={"size": 2})
    assert [b.samples for b in source.batches()] == [2] * 5
    assert np.array_equal(rows(source), X)


def test_a_function_may_return_whole_arrays(module):
    source = from_function(module, "arrays")
    assert [b.labels.tolist() for b in source.batches()] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("batchs", ConfigError, "did you mean 'batches'"),
        ("nothing", DataError, "returned None"),
        ("broken", DataError, "data_functions_for_test.py:11"),
    ],
)
def test_bad_functions_are_explained(module, name, error, message):
    with pytest.raises(error) as caught:
        from_function(module, name)
    assert message in str(caught.value)


def test_a_module_that_cannot_be_imported_is_explained(tmp_path):
    spec = Dataloader.model_validate({"dataset": {"python": {"function": "no_such_module_here:f"}}})
    with pytest.raises(ConfigError, match="cannot import module 'no_such_module_here'"):
        open_dataloader(spec, tmp_path, SPEC)


def test_fingerprint_of_samples_in_memory_covers_the_last_one():
    samples = [np.full((1, 2), i, np.float32) for i in range(600)]
    changed = [*samples[:-1], samples[-1] + 1]
    assert open_data(samples).fingerprint != open_data(changed).fingerprint


def test_another_order_behind_an_equal_first_batch_is_noticed():
    class Reordering:
        def __init__(self):
            self.readings = 0

        def __iter__(self):
            self.readings += 1
            return iter([X[:1], *(X[i : i + 1] for i in np.roll([1, 2, 3], self.readings))])

    source = open_data(Reordering(), input_specs=SPEC)
    assert np.array_equal(rows(source), rows(source))
