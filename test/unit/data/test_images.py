import numpy as np
import pytest
from PIL import Image

from autoq.config.schema import Dataloader
from autoq.core.batch import TensorSpec
from autoq.core.errors import ConfigError, DataError
from autoq.data.sources import open_dataloader


def picture(path, height=6, width=8, value=0, mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((height, width, 3), value, dtype=np.uint8)
    pixels[..., 0] = 200
    Image.fromarray(pixels).convert(mode).save(path)


def source(folder, batch_size=1, specs=None, **images):
    spec = Dataloader.model_validate({"dataset": {"images": {"root": ".", **images}}, "batch_size": batch_size})
    return open_dataloader(spec, folder, specs)


def first(folder, **preprocess):
    return next(source(folder, preprocess=preprocess).batches()).inputs


@pytest.fixture
def folder(tmp_path):
    for name, value in (("cat/b.png", 10), ("cat/a.png", 20), ("ant/c.jpg", 30)):
        picture(tmp_path / name, value=value)
    (tmp_path / "cat" / "notes.txt").write_text("not an image")
    return tmp_path


def test_images_come_in_name_order_with_folder_labels(folder):
    (batch,) = source(folder, batch_size=5, labels="folder").batches()
    assert batch.labels.tolist() == [0, 1, 1]
    assert batch.inputs[1:, 1, 0, 0].tolist() == [20, 10]


def test_layout_and_channel_order(folder):
    assert first(folder).shape == (1, 3, 6, 8)
    nhwc = first(folder, layout="NHWC", dtype="uint8")
    assert nhwc.shape == (1, 6, 8, 3)
    assert nhwc.dtype == np.uint8
    bgr = first(folder, layout="NHWC", dtype="uint8", mode="BGR")
    assert np.array_equal(bgr, nhwc[..., ::-1])
    assert first(folder, mode="L").shape == (1, 1, 6, 8)


def test_pixels_are_scaled_then_normalized_per_channel(tmp_path):
    picture(tmp_path / "a.png", value=100)
    found = first(tmp_path, scale=255.0, mean=[0.5, 0.25, 0.0], std=[0.5, 1.0, 2.0])
    expected = [(200 / 255 - 0.5) / 0.5, 100 / 255 - 0.25, 100 / 255 / 2]
    assert found[0, :, 3, 3] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("preprocess", "shape"),
    [
        ({"resize": 12}, (12, 16)),
        ({"resize": [5, 7]}, (5, 7)),
        ({"crop": 4}, (4, 4)),
        ({"resize": 12, "crop": [10, 6]}, (10, 6)),
    ],
)
def test_resize_and_crop(folder, preprocess, shape):
    assert first(folder, **preprocess).shape[2:] == shape


def test_crop_takes_the_centre(tmp_path):
    pixels = np.zeros((5, 5, 3), np.uint8)
    pixels[2, 2] = 255
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert first(tmp_path, crop=1).ravel().tolist() == [255, 255, 255]


def test_palette_and_transparent_images_become_rgb(tmp_path):
    picture(tmp_path / "p.png", mode="P")
    picture(tmp_path / "q.png", mode="RGBA")
    (batch,) = source(tmp_path, batch_size=2).batches()
    assert batch.inputs.shape == (2, 3, 6, 8)


def test_the_input_may_be_named_and_is_checked(folder):
    spec = [TensorSpec("image", "float32", (None, 3, 6, 8))]
    assert list(next(source(folder, specs=spec, input="image").batches()).inputs) == ["image"]
    wrong = [TensorSpec("image", "float32", (None, 6, 8, 3))]
    with pytest.raises(DataError, match="NCHW"):
        next(source(folder, specs=wrong).batches())


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("file,label\ncat/a.png,1\ncat/b.png,2\nant/c.jpg,0\n", [0, 1, 2]),
        ("cat/a.png,1.5\ncat/b.png,2\nant/c.jpg,0\n", [0.0, 1.5, 2.0]),
        ('cat/a.png,"one, two"\ncat/b.png,2\nant/c.jpg,zero\n', ["zero", "one, two", "2"]),
    ],
)
def test_labels_from_a_file(folder, lines, expected):
    (folder / "labels.csv").write_text(lines)
    (batch,) = source(folder, batch_size=3, labels="labels.csv").batches()
    assert list(batch.labels) == expected


def test_images_stay_the_same_on_every_reading(folder):
    images = source(folder, batch_size=2)
    assert all(np.array_equal(a.inputs, b.inputs) for a, b in zip(images.batches(), images.batches(), strict=True))


def test_fingerprint_follows_pixels_and_preprocessing(folder):
    before = source(folder).fingerprint
    assert source(folder).fingerprint == before
    assert source(folder, preprocess={"scale": 2.0}).fingerprint != before
    picture(folder / "cat" / "a.png", value=21)
    assert source(folder).fingerprint != before


@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        ({"root": "absent"}, DataError, "no such folder"),
        ({"pattern": "*.png"}, DataError, "no image matches"),
        ({"pattern": "/x"}, ConfigError, "no file pattern"),
        ({"labels": "absent.csv"}, DataError, "no such file"),
        ({"labels": "part.csv"}, DataError, "image 'cat/a.png' has no label"),
        ({"labels": "wide.csv"}, DataError, "wide.csv:1"),
        ({"labels": "binary.csv"}, DataError, "label file cannot be read"),
        ({"preprocess": {"dtype": "uint8", "scale": 255.0}}, ConfigError, "raw pixels"),
        ({"preprocess": {"crop": 7}}, DataError, "smaller than the crop"),
    ],
)
def test_bad_folders_are_explained(folder, images, error, message):
    (folder / "part.csv").write_text("ant/c.jpg,0\n")
    (folder / "wide.csv").write_text("a,b,c\n")
    (folder / "binary.csv").write_bytes(b"\xff\xfe\x00\x81,1\n")
    with pytest.raises(error) as caught:
        list(source(folder, **images).batches())
    assert message in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"no image at all", b"\x89PNG\r\n\x1a\n broken"])
def test_an_unreadable_image_is_named(tmp_path, content):
    (tmp_path / "bad.png").write_bytes(content)
    with pytest.raises(DataError, match=r"bad.png: the image cannot be read"):
        list(source(tmp_path).batches())


def test_a_truncated_image_is_named(tmp_path):
    picture(tmp_path / "a.jpg", 200, 200)
    (tmp_path / "a.jpg").write_bytes((tmp_path / "a.jpg").read_bytes()[:900])
    with pytest.raises(DataError, match="cannot be read"):
        list(source(tmp_path).batches())


def test_images_of_different_size_in_a_batch_name_both(tmp_path):
    picture(tmp_path / "a.png")
    picture(tmp_path / "b.png", height=9)
    with pytest.raises(DataError, match=r"b.png: the image is 9×8, 'a.png' of the same batch is 6×8"):
        list(source(tmp_path, batch_size=2).batches())


def test_folder_labels_need_folders(tmp_path):
    picture(tmp_path / "a.png")
    with pytest.raises(DataError, match="sub-folder"):
        source(tmp_path, labels="folder")


def test_a_new_class_folder_changes_the_fingerprint(folder):
    before = source(folder, labels="folder").fingerprint
    (folder / "aardvark").mkdir()
    assert source(folder, labels="folder").fingerprint != before
