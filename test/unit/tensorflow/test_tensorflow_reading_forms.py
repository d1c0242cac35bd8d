"""One model in each form it may come in: the same outputs, and the same names for its layers."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import small_tf
from small_tf import keras, pictures, run

from autoq.adaptors.tensorflow.frozen import Frozen
from autoq.adaptors.tensorflow.reading import read
from autoq.adaptors.tensorflow.runtime import tf
from autoq.core.adaptor import ModelSource

LAYERS = ["stem", "expand", "depthwise", "project", "block", "scores"]


@pytest.fixture(scope="module")
def model():
    return small_tf.small_cnn()


@pytest.fixture(scope="module")
def place(tmp_path_factory, model):
    folder = tmp_path_factory.mktemp("forms")
    model.save(folder / "model.keras")
    model.export(folder / "exported", verbose=False)
    (folder / "frozen.pb").write_bytes(read(ModelSource(model)).proto.SerializeToString())
    return folder


def outputs(frozen: Frozen, *arrays: np.ndarray) -> list[np.ndarray]:
    return run(frozen.proto, dict(zip(frozen.input_tensors, arrays, strict=True)), frozen.output_tensors)


def layers(frozen: Frozen) -> list[str]:
    kinds = ("Conv2D", "DepthwiseConv2dNative", "MatMul")
    return [node.name.partition("/")[0] for node in frozen.proto.node if node.op in kinds]


@pytest.mark.parametrize("form", ["model.keras", "exported", "exported/saved_model.pb", "frozen.pb"])
def test_every_file_gives_the_models_outputs_and_the_names_of_its_layers(place, model, form):
    frozen = read(ModelSource(place / form))
    np.testing.assert_allclose(outputs(frozen, pictures())[0], model(pictures()), rtol=1e-5, atol=1e-6)
    assert layers(frozen) == LAYERS


@pytest.mark.parametrize("form", ["keras", "loaded", "signature", "graph_def", "graph"])
def test_every_object_gives_the_models_outputs_and_the_names_of_its_layers(place, model, form):
    proto = read(ModelSource(model)).proto
    loaded = tf.saved_model.load(str(place / "exported"))
    graph = tf.Graph()
    with graph.as_default():
        tf.import_graph_def(proto, name="")
    objects = {
        "keras": model,
        "loaded": loaded,
        "signature": loaded.signatures["serving_default"],
        "graph_def": proto,
        "graph": graph,
    }
    frozen = read(ModelSource(objects[form]))
    np.testing.assert_allclose(outputs(frozen, pictures())[0], model(pictures()), rtol=1e-5, atol=1e-6)
    assert layers(frozen) == LAYERS


def test_the_batch_stays_unknown(place, model):
    for source in (model, place / "model.keras", place / "exported", place / "frozen.pb"):
        frozen = read(ModelSource(source))
        assert frozen.inputs[0].shape == (None, 16, 16, 3)
        assert frozen.outputs[0].shape == (None, 5)


def test_a_model_read_twice_is_the_same_graph(place, model):
    first, second = read(ModelSource(model)), read(ModelSource(model))
    assert first.proto == second.proto
    assert read(ModelSource(place / "model.keras")).proto == first.proto


def test_another_process_finds_the_same_names(place):
    code = (
        "import sys; from autoq.adaptors.tensorflow.reading import read;"
        "from autoq.adaptors.tensorflow.runtime import tf;"
        "tf.keras.Sequential([tf.keras.Input((4,)), tf.keras.layers.Dense(3)]);"
        "from autoq.core.adaptor import ModelSource;"
        "print(*(node.name for node in read(ModelSource(sys.argv[1])).proto.node))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(place / "exported")], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.split() == [node.name for node in read(ModelSource(place / "exported")).proto.node]
    assert done.stderr == ""


def test_tf_keras_models_as_objects_and_files(tmp_path):
    import tf_keras

    image = tf_keras.Input((8, 8, 3), name="image")
    x = tf_keras.layers.Conv2D(4, 3, activation="relu", name="conv")(image)
    x = tf_keras.layers.BatchNormalization(name="norm")(x)
    x = tf_keras.layers.Dense(3, name="scores")(tf_keras.layers.Flatten()(x))
    model = tf_keras.Model(image, x)
    model.save(tmp_path / "model.keras")
    data = np.random.default_rng(0).normal(size=(4, 8, 8, 3)).astype(np.float32)
    for source in (model, tmp_path / "model.keras"):
        frozen = read(ModelSource(source))
        np.testing.assert_allclose(outputs(frozen, data)[0], model(data), rtol=1e-5, atol=1e-6)
        assert (frozen.inputs[0].name, frozen.outputs[0].name) == ("image", "scores")
        assert layers(frozen) == ["conv", "scores"]


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
@pytest.mark.parametrize("package", ["keras", "tf_keras"])
def test_an_hdf5_file_is_read_by_the_keras_that_wrote_it(tmp_path, package):
    import tf_keras

    made_by = {"keras": keras, "tf_keras": tf_keras}[package]
    model = made_by.Sequential([made_by.layers.Input((4,), name="x"), made_by.layers.Dense(3, name="scores")])
    model.save(tmp_path / "model.h5")
    data = np.eye(4, dtype=np.float32)
    np.testing.assert_allclose(outputs(read(ModelSource(tmp_path / "model.h5")), data)[0], model(data), rtol=1e-6)


def test_several_inputs_and_outputs_keep_their_order_and_names():
    a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b")
    product = keras.layers.Dense(2, name="product")(a)
    total = keras.layers.Add(name="total")([a, b])
    frozen = read(ModelSource(keras.Model([b, a], [total, product])))
    assert [spec.name for spec in frozen.inputs] == ["b", "a"]
    assert [spec.name for spec in frozen.outputs] == ["total", "product"]
    ones, twos = np.ones((2, 4), np.float32), np.full((2, 4), 2, np.float32)
    np.testing.assert_array_equal(outputs(frozen, twos, ones)[0], twos + ones)


def test_inputs_and_outputs_as_dictionaries_are_called_by_their_keys():
    a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b")
    model = keras.Model({"b": b, "a": a}, {"sum": keras.layers.Add()([a, b]), "first": keras.layers.Dense(2)(a)})
    frozen = read(ModelSource(model))
    assert [spec.name for spec in frozen.inputs] == ["a", "b"]
    assert {spec.name: spec.shape for spec in frozen.outputs} == {"first": (None, 2), "sum": (None, 4)}


def test_inputs_without_a_name_are_called_after_their_layer_as_in_the_saved_file(tmp_path):
    a, b = keras.Input((4,)), keras.Input((4,))
    model = keras.Model([a, b], keras.layers.Dense(2)(keras.layers.Add()([a, b])))
    model.save(tmp_path / "model.keras")
    names = [spec.name for spec in read(ModelSource(model)).inputs]
    assert all(name.startswith("input_layer") for name in names)
    assert [spec.name for spec in read(ModelSource(tmp_path / "model.keras")).inputs] == names


def test_layers_numbered_by_keras_keep_their_numbers():
    x = image = keras.Input((8, 8, 3), name="image")
    names = ("conv2d", "conv2d_1", "conv2d_2", "conv_7")
    for name in names:
        x = keras.layers.Conv2D(3, 3, padding="same", name=name)(x)
    assert tuple(layers(read(ModelSource(keras.Model(image, x))))) == names


class Subclassed(keras.Model):
    """What a user writes without saying what it takes."""

    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(3)

    def call(self, x):
        return {"scores": self.dense(x), "doubled": x * 2}


def test_a_subclassed_model_takes_what_it_was_called_with():
    model = Subclassed()
    model(np.zeros((2, 4), np.float32))
    frozen = read(ModelSource(model))
    assert frozen.inputs[0].shape == (None, 4)
    assert [spec.name for spec in frozen.outputs] == ["doubled", "scores"]


def test_a_subclassed_model_that_was_never_called_takes_what_the_data_are():
    frozen = read(ModelSource(Subclassed(), example=lambda: np.zeros((2, 4), np.float32)))
    assert frozen.inputs[0].shape == (None, 4)


def test_a_loop_stays_as_it_is_and_is_named(tmp_path):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((6, 4), name="x"), keras.layers.LSTM(5, name="memory"), keras.layers.Dense(2, name="out")]
    )
    frozen = read(ModelSource(model))
    data = np.random.default_rng(0).normal(size=(3, 6, 4)).astype(np.float32)
    np.testing.assert_allclose(outputs(frozen, data)[0], model(data), rtol=1e-5, atol=1e-6)
    assert "'memory/while' (While)" in frozen.notes[0]
    assert read(ModelSource(model)).proto == frozen.proto


def test_layers_in_half_precision_are_told():
    x = keras.Input((4,), name="x")
    dense = keras.layers.Dense(3, name="half", dtype="mixed_float16")
    assert "float16 stays so ('half/MatMul')" in read(ModelSource(keras.Model(x, dense(x)))).notes[0]


def test_channels_first_is_told():
    @tf.function(input_signature=[tf.TensorSpec((None, 3, 8, 8), tf.float32, name="x")])
    def convolution(x):
        return tf.nn.conv2d(x, tf.ones((3, 3, 3, 4)), 1, "SAME", data_format="NCHW", name="first")

    assert "NCHW stay float32 ('first')" in read(ModelSource(convolution)).notes[0]
