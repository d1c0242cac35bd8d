import numpy as np
import pytest

from autoq.config.schema import Dataloader
from autoq.core.batch import TensorSpec
from autoq.core.errors import DataError
from autoq.data.sources import open_data, open_dataloader

SPEC = [TensorSpec("x", "float32", ("batch", 3))]


def loader(**dataset):
    options = {k: dataset.pop(k) for k in ("batch_size", "rows_per_sample", "offset", "limit") if k in dataset}
    return Dataloader.model_validate({"dataset": dataset, **options})


def save(path, **arrays):
    np.savez(path, **arrays)
    return path


def whole(source, start=0, stop=None):
    batches = list(source.batches(start, stop))
    return np.concatenate([np.asarray(next(iter(b.inputs.values()))) for b in batches])


@pytest.fixture
def data(tmp_path):
    x = np.arange(30, dtype=np.float32).reshape(10, 3)
    y = np.arange(10)
    save(tmp_path / "stored.npz", x=x, y=y)
    np.savez_compressed(tmp_path / "compressed.npz", x=x, y=y)
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", y)
    return tmp_path, x, y


@pytest.mark.parametrize("file", ["stored.npz", "compressed.npz"])
def test_npz_gives_inputs_and_labels_in_order_with_a_partial_last_batch(data, file):
    folder, x, y = data
    source = open_dataloader(loader(npz={"path": file, "labels": "y"}, batch_size=4), folder, SPEC)
    batches = list(source.batches())
    assert [b.samples for b in batches] == [4, 4, 2]
    assert np.array_equal(np.concatenate([b.inputs["x"] for b in batches]), x)
    assert np.array_equal(np.concatenate([b.labels for b in batches]), y)


def test_npy_with_a_label_file(data):
    folder, x, y = data
    source = open_dataloader(loader(npz={"path": "x.npy", "labels": "y.npy"}, batch_size=10), folder, SPEC)
    (batch,) = source.batches()
    assert np.array_equal(batch.inputs["x"], x)
    assert np.array_equal(batch.labels, y)


def test_stored_npz_members_are_mapped_and_not_loaded(data):
    from autoq.data.npz import read_npz

    arrays = read_npz(data[0] / "stored.npz")
    assert isinstance(arrays["x"], np.memmap)
    assert np.array_equal(arrays["x"], data[1])


def test_fortran_order_and_strings_survive_mapping(tmp_path):
    from autoq.data.npz import read_npz

    x = np.asfortranarray(np.arange(12.0).reshape(3, 4))
    save(tmp_path / "a.npz", x=x, names=np.array(["a", "bc"]))
    arrays = read_npz(tmp_path / "a.npz")
    assert np.array_equal(arrays["x"], x)
    assert arrays["names"].tolist() == ["a", "bc"]


def test_inputs_are_renamed_by_mapping_and_ordered_by_list(tmp_path):
    save(tmp_path / "a.npz", a=np.ones((2, 3), np.float32), b=np.zeros((2, 1), np.int64))
    specs = [TensorSpec("p", "int64", (None, 1)), TensorSpec("q", "float32", (None, 3))]
    mapped = open_dataloader(loader(npz={"path": "a.npz", "inputs": {"q": "a", "p": "b"}}), tmp_path, specs)
    listed = open_dataloader(loader(npz={"path": "a.npz", "inputs": ["b", "a"]}), tmp_path, specs)
    for source in (mapped, listed):
        batch = next(source.batches())
        assert list(batch.inputs) == ["p", "q"]
        assert batch.inputs["q"].sum() == 3


def test_offset_and_limit_choose_samples(data):
    source = open_dataloader(loader(npz={"path": "x.npy"}, offset=2, limit=5, batch_size=2), data[0], SPEC)
    assert source.samples == 5
    assert np.array_equal(whole(source), data[1][2:7])


def test_rows_per_sample_groups_rows_and_takes_one_label_per_sample(data):
    folder, x, _ = data
    np.save(folder / "pairs.npy", np.arange(5) * 10)
    spec = loader(npz={"path": "x.npy", "labels": "pairs.npy"}, rows_per_sample=2, batch_size=3)
    batches = list(open_dataloader(spec, folder, SPEC).batches())
    assert [b.samples for b in batches] == [3, 2]
    assert batches[0].inputs["x"].shape == (6, 3)
    assert np.array_equal(batches[1].labels, [30, 40])
    assert np.array_equal(batches[1].inputs["x"], x[6:])


def test_batches_lie_on_one_grid_wherever_reading_starts(data):
    source = open_dataloader(loader(npz={"path": "x.npy"}, batch_size=4), data[0], SPEC)
    assert [b.samples for b in source.batches(0, 10)] == [4, 4, 2]
    assert [b.samples for b in source.batches(3, 10)] == [1, 4, 2]
    assert np.array_equal(np.concatenate([whole(source, 0, 3), whole(source, 3)]), data[1])


def test_fingerprint_follows_content_and_choice_of_samples(data):
    folder, x, y = data

    def of(**options):
        return open_dataloader(loader(npz={"path": "stored.npz", "labels": "y"}, **options), folder, SPEC).fingerprint

    first = of()
    assert of() == first
    assert of(limit=3) != first
    save(folder / "stored.npz", x=x + 1, y=y)
    assert of() != first


def test_arrays_in_memory_are_read_as_samples():
    x, y = np.ones((5, 3)), np.arange(5)
    for data in ((x, y), ({"x": x}, list(y))):
        source = open_data(data, batch_size=2, input_specs=SPEC)
        assert source.samples == 5
        assert [b.labels.tolist() for b in source.batches()] == [[0, 1], [2, 3], [4]]


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        ({"path": "xx.npy"}, "no such file"),
        ({"path": "missing/x.npy"}, "does not exist either"),
        ({"path": "."}, "is a folder"),
        ({"path": "broken.npz"}, "cannot be read"),
        ({"path": "cut.npz"}, "cannot be read"),
        ({"path": "objects.npy"}, "Python objects"),
        ({"path": "objects.npz"}, "Python objects"),
        ({"path": "empty.npz"}, "holds no arrays"),
        ({"path": "stored.npz", "labels": "labels"}, "no array 'labels'"),
        ({"path": "stored.npz", "inputs": ["z"]}, "no array 'z'"),
        ({"path": "uneven.npz"}, "differ in their number of rows"),
        ({"path": "x.npy", "labels": "short.npy"}, "3 labels for 10 samples"),
        ({"path": "none.npy"}, "no samples"),
        ({"path": "scalar.npy"}, "first axis"),
        ({"path": "text.npy"}, "takes numbers"),
    ],
)
def test_bad_files_say_what_is_wrong(data, dataset, message):
    folder, x, _ = data
    (folder / "broken.npz").write_bytes(b"PK\x03\x04 nonsense")
    (folder / "cut.npz").write_bytes((folder / "stored.npz").read_bytes()[:150])
    np.save(folder / "objects.npy", np.array([{}], dtype=object))
    save(folder / "objects.npz", x=np.array([{}], dtype=object))
    np.savez(folder / "empty.npz")
    save(folder / "uneven.npz", a=x, b=x[:4])
    np.save(folder / "short.npy", np.arange(3))
    np.save(folder / "none.npy", x[:0])
    np.save(folder / "scalar.npy", np.float32(1))
    np.save(folder / "text.npy", np.array(["a"]))
    with pytest.raises(DataError) as caught:
        list(open_dataloader(loader(npz=dataset), folder, SPEC).batches())
    assert message in str(caught.value)


def test_damaged_array_inside_a_sound_archive(tmp_path):
    import zipfile

    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", b"\x93NUMPY\x01\x00broken header")
    with pytest.raises(DataError, match="cannot be read"):
        open_dataloader(loader(npz={"path": "a.npz"}), tmp_path, SPEC)


def test_offset_beyond_the_end_is_an_error(data):
    with pytest.raises(DataError, match="skips all of the 10 samples"):
        open_dataloader(loader(npz={"path": "x.npy"}, offset=10), data[0], SPEC)


def test_rows_that_do_not_divide_into_samples(data):
    with pytest.raises(DataError, match="10 rows cannot be divided into samples of 3"):
        open_dataloader(loader(npz={"path": "x.npy"}, rows_per_sample=3), data[0], SPEC)


def test_labels_of_another_array_type_count_in_the_fingerprint():
    torch = pytest.importorskip("torch")
    inputs, labels = np.zeros((5000, 2), np.float32), torch.zeros(5000)
    changed = labels.clone()
    changed[2500] = 1
    assert open_data((inputs, labels)).fingerprint == open_data((inputs, labels.clone())).fingerprint
    assert open_data((inputs, labels)).fingerprint != open_data((inputs, changed)).fingerprint


def test_an_array_of_texts_as_objects_is_read_as_texts():
    inputs = np.zeros((2, 2), np.float32)
    first, second = (open_data((inputs, np.array(["a", "bc"], dtype=object)), batch_size=2) for _ in range(2))
    assert next(first.batches()).labels == ["a", "bc"]
    assert first.fingerprint == second.fingerprint


def test_a_file_that_moved_keeps_its_fingerprint(tmp_path):
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        np.savez(tmp_path / name / "a.npz", x=np.ones((2, 3), np.float32))
    here, there = (open_dataloader(loader(npz={"path": f"{n}/a.npz"}), tmp_path) for n in ("here", "there"))
    assert here.fingerprint == there.fingerprint
