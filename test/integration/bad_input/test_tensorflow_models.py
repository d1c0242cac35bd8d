"""TensorFlow models that cannot be read, run or quantized: what is said of them, and that nothing else is."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import small_tf
from command import autoq, refused
from small_tf import keras

from autoq.adaptors.tensorflow.reading import read
from autoq.adaptors.tensorflow.runtime import tf
from autoq.core.adaptor import ModelSource
from autoq.core.errors import ModelError

X = tf.TensorSpec((None, 4), tf.float32, name="x")


class Doubling(keras.layers.Layer):
    """A layer only this file knows."""

    def call(self, x):
        return x * 2


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    model = small_tf.small_mlp()
    model.save(folder / "good.keras")
    model.export(folder / "good", verbose=False)
    (folder / "good.pb").write_bytes(read(ModelSource(model)).proto.SerializeToString())
    middle = {"custom": Doubling(), "lambda": keras.layers.Lambda(lambda x: x * 2)}
    for name, layer in middle.items():
        keras.Sequential([keras.Input((4,), name="x"), layer]).save(folder / f"{name}.keras")
    return folder


@pytest.fixture
def copied(models, tmp_path):
    def copy(name: str) -> Path:
        source = models / name
        return Path((shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / name))

    return copy


def said_of(model, **source) -> str:
    with pytest.raises(ModelError) as refusal:
        read(ModelSource(model, **source))
    assert refusal.value.hint or refusal.value.where
    return str(refusal.value)


def cut(path: Path, kept: float) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * kept)])
    return path


# Files


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("model.pb", b"", "the model file is empty"),
        ("model.pb", b"these are words and no model", "not a frozen TensorFlow graph"),
        ("model.keras", b"these are words and no model", "the .keras archive is damaged"),
        ("model.h5", b"\x89HDF\r\n\x1a\n" + bytes(100), "the HDF5 file is damaged"),
        ("model.pb", b"\x1c\0\0\0TFL3" + bytes(50), "set framework to tensorflow_lite"),
        ("model.pb", b"version https://git-lfs.github.com/spec/v1", "git lfs pull"),
        ("model.onnx", b"\x08\x07", "set framework to onnxrt_qdq"),
    ],
)
def test_a_file_that_is_no_tensorflow_model(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    assert said in said_of(tmp_path / name)


def test_a_file_that_does_not_exist(tmp_path):
    assert "no such model file" in said_of(tmp_path / "nothing.keras")


@pytest.mark.parametrize("kept", [0.1, 0.9])
@pytest.mark.parametrize("name", ["good.pb", "good.keras"])
def test_a_truncated_file(copied, name, kept):
    said = said_of(cut(copied(name), kept))
    assert "truncated" in said or "damaged" in said


def test_an_archive_without_a_keras_model(tmp_path):
    with zipfile.ZipFile(tmp_path / "model.keras", "w") as archive:
        archive.writestr("archive/data.pkl", b"")
    assert "PyTorch checkpoint" in said_of(tmp_path / "model.keras")


def test_a_file_with_weights_only(tmp_path):
    small_tf.small_mlp().save_weights(tmp_path / "model.weights.h5")
    assert "weights only" in said_of(tmp_path / "model.weights.h5")


def test_a_folder_with_a_checkpoint(tmp_path):
    tf.train.Checkpoint(weight=tf.Variable(1.0)).write(str(tmp_path / "checkpoint"))
    assert "a checkpoint, which is weights only" in said_of(tmp_path)


def test_a_folder_with_something_else(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing", encoding="utf-8")
    assert "it holds: notes.txt" in said_of(tmp_path)


# SavedModels


def test_a_saved_model_whose_graph_is_cut(copied):
    folder = copied("good")
    cut(folder / "saved_model.pb", 0.3)
    assert "damaged or incomplete" in said_of(folder)


def test_a_saved_model_without_its_variables(copied):
    folder = copied("good")
    shutil.rmtree(folder / "variables")
    assert "copy the whole folder" in said_of(folder)


def test_a_saved_model_whose_variables_are_cut(copied):
    folder = copied("good")
    cut(next((folder / "variables").glob("*.data-*")), 0.1)
    assert "damaged or incomplete" in said_of(folder)


def test_a_saved_model_with_an_op_of_its_own(copied):
    folder = copied("good")
    data = (folder / "saved_model.pb").read_bytes()
    assert b"MatMul" in data
    (folder / "saved_model.pb").write_bytes(data.replace(b"BiasAdd", b"BiasOwn"))
    assert "the op 'BiasOwn', which this TensorFlow does not know" in said_of(folder)


# Keras


def test_a_layer_of_ones_own_in_a_file(models, monkeypatch):
    said = said_of(models / "custom.keras")
    assert "'Doubling'" in said
    assert "pass the model as an object" in said


def test_a_layer_of_ones_own_in_an_object_is_no_problem():
    assert read(ModelSource(keras.Sequential([keras.Input((4,)), Doubling()]))).inputs[0].shape == (None, 4)


def test_a_lambda_layer_in_a_file(models):
    assert "Lambda layer, whose Python code is not run" in said_of(models / "lambda.keras")


def test_a_model_of_a_newer_keras(copied):
    path = copied("good.keras")
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    parts["metadata.json"] = parts["metadata.json"].replace(keras.__version__.encode(), b"97.1.0")
    parts["config.json"] = parts["config.json"].replace(b'"units"', b'"units_of_tomorrow"')
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    said = said_of(path)
    assert f"Keras {keras.__version__} cannot load the model, which Keras 97.1.0 saved" in said
    assert "install Keras 97.1.0" in said


def test_a_model_of_keras_2_without_tf_keras(copied, monkeypatch):
    path = copied("good.keras")
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("metadata.json", '{"keras_version": "2.15.0"}')
    monkeypatch.setattr("autoq.adaptors.tensorflow.keras_files.find_spec", lambda name: None)
    said = said_of(path)
    assert "saved by Keras 2.15.0" in said
    assert "pip install tf_keras" in said


def test_a_model_that_was_never_built():
    assert "never built" in said_of(keras.Sequential([keras.layers.Dense(3)]))


def test_a_model_that_cannot_be_traced():
    class Failing(keras.layers.Layer):
        def call(self, x):
            raise ValueError("there is no such thing")

        def compute_output_spec(self, x):
            return keras.KerasTensor(x.shape)

    x = keras.Input((4,), name="x")
    said = said_of(keras.Model(x, Failing()(x)))
    assert "cannot be traced" in said
    assert "there is no such thing" in said


@pytest.mark.filterwarnings("ignore")
def test_a_quantized_keras_model_names_the_layer():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8, name="hidden")])
    model.quantize("int8")
    assert "quantized already: layer 'hidden' is int8" in said_of(model)


# What goes in


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (tf.TensorSpec((None,), tf.string, name="text"), "input 'text' is of strings"),
        (tf.TensorSpec(None, tf.float32, name="x"), "input 'x' has no fixed number of axes"),
        (tf.SparseTensorSpec((None, 4), tf.float32), "sparse"),
        (tf.RaggedTensorSpec((None, None), tf.float32), "ragged"),
    ],
)
def test_inputs_that_cannot_be_calibrated(spec, said):
    function = tf.function(lambda x: tf.identity_n(tf.nest.flatten(x, expand_composites=True)), input_signature=[spec])
    assert said in said_of(function)


def test_a_sparse_keras_input_is_named():
    x = keras.Input((4,), sparse=True, name="rare")
    assert "input 'rare' is sparse" in said_of(keras.Model(x, keras.layers.Dense(2)(x)))


# What is inside


def test_quantized_graphs_name_the_node():
    def emulated(x):
        return tf.quantization.fake_quant_with_min_max_args(x, name="act_quant")

    assert "quantized already: node 'act_quant'" in said_of(tf.function(emulated, input_signature=[X]))


def test_a_graph_with_variables_names_one():
    graph = tf.Graph()
    with graph.as_default():
        x = tf.compat.v1.placeholder(tf.float32, (None, 4), "x")
        tf.matmul(x, tf.compat.v1.get_variable("kernel", (4, 3)))
    said = said_of(graph)
    assert "variable 'kernel" in said
    assert "freeze it" in said


def test_loops_of_tensorflow_1_name_the_node():
    proto = tf.compat.v1.GraphDef()
    proto.node.add(name="x", op="Placeholder").attr["dtype"].type = tf.float32.as_datatype_enum
    proto.node.add(name="while/Enter", op="Enter", input=["x"])
    assert "node 'while/Enter' (Enter) is control flow" in said_of(proto)


def test_a_lookup_table_names_the_node():
    table = tf.lookup.StaticHashTable(
        tf.lookup.KeyValueTensorInitializer(tf.constant([1, 2], tf.int64), tf.constant([3.0, 4.0])), 0.0
    )
    function = tf.function(table.lookup, input_signature=[tf.TensorSpec((None,), tf.int64, name="x")])
    assert "(LookupTableFindV2) reads a table" in said_of(function)


def test_a_graph_with_a_node_missing_names_it(models):
    proto = tf.compat.v1.GraphDef.FromString((models / "good.pb").read_bytes())
    index = next(i for i, node in enumerate(proto.node) if node.op == "Relu")
    name = proto.node[index].name
    del proto.node[index]
    assert f"reads '{name}', which is not in the graph" in said_of(proto)


def test_a_graph_without_inputs():
    with tf.Graph().as_default() as graph:
        tf.identity(tf.constant(np.ones(3, np.float32)) * 2)
    assert "no inputs" in said_of(graph)


def test_what_is_no_model_at_all():
    assert "builtins.object is no TensorFlow model" in said_of(object())


# Through the command


def test_the_command_says_what_is_wrong_and_nothing_else(copied, tmp_path):
    cut(copied("good") / "saved_model.pb", 0.3)
    done = autoq("inspect", "good", "--framework", "tensorflow", cwd=tmp_path, timeout=300)
    refused(done, 3, "damaged or incomplete")
    assert done.stderr.startswith("error:")
    assert len(done.stderr.splitlines()) == 2
