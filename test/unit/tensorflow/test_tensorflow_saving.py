"""SavedModels as autoq writes and reads them."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import small_tf
from small_tf import pictures, run

from autoq.adaptors.tensorflow import saving
from autoq.adaptors.tensorflow.passes import fold
from autoq.adaptors.tensorflow.reading import read
from autoq.adaptors.tensorflow.runtime import SavedModel, tf
from autoq.core.adaptor import ModelSource
from autoq.core.errors import ModelError, StoreError

_LOADED_ELSEWHERE = """
import json, sys
import numpy as np
import tensorflow as tf
data = np.load(sys.argv[2])
function = tf.saved_model.load(sys.argv[1]).signatures["serving_default"]
(_, taken), given = function.structured_input_signature, function.structured_outputs
scores = function(image=tf.constant(data["image"]))["scores"].numpy()
print(json.dumps({
    "inputs": {name: [spec.shape.as_list(), spec.dtype.name] for name, spec in taken.items()},
    "outputs": {name: [spec.shape.as_list(), spec.dtype.name] for name, spec in given.items()},
    "difference": float(np.abs(scores - data["scores"]).max()),
}))
"""


@pytest.fixture(scope="module")
def frozen():
    return read(ModelSource(small_tf.small_cnn()))


@pytest.fixture(scope="module")
def quantized(frozen):
    """The folded graph with one convolution on its 8-bit kernel."""
    graph = fold(frozen)
    data = {"image:0": pictures()}
    summed, relu = run(graph.proto, data, ("residual/Add:0", "block_relu/Relu:0"))
    weight = graph.constant(graph.by_name["block/convolution"].input[1])
    widest = np.abs(weight).max(axis=(0, 1, 2))
    with tf.Graph().as_default() as target:
        tf.import_graph_def(graph.proto, name="")
        source = target.get_tensor_by_name("residual/Add:0")
        bound = float(np.abs(summed).max())
        x = tf.quantization.quantize(source, -bound, bound, tf.qint8, mode="SCALED", round_mode="HALF_TO_EVEN")
        kernel = tf.raw_ops.Bitcast(input=tf.constant(np.round(weight / widest * 127).astype(np.int8)), type=tf.qint8)
        bias = tf.constant(graph.constant(graph.by_name["block/BiasAdd"].input[1]))
        operation = target.create_op(
            "_FusedQuantizedConv2D",
            [x.output, kernel, bias, x.output_min, x.output_max]
            + [tf.constant(value, tf.float32) for value in (-widest, widest, 0.0, relu.max())],
            [tf.quint8, tf.float32, tf.float32],
            name="block/quantized",
            attrs={
                "Tinput": attribute(type=tf.qint8),
                "Tfilter": attribute(type=tf.qint8),
                "Tbias": attribute(type=tf.float32),
                "Tsummand": attribute(type=tf.quint8),
                "out_type": attribute(type=tf.quint8),
                "Tdevice_inputs": attribute(types=[tf.qint8, tf.qint8, tf.float32]),
                "Thost_inputs": attribute(types=[tf.float32] * 6),
                "Tdevice_outputs": attribute(types=[tf.quint8]),
                "Thost_outputs": attribute(types=[tf.float32] * 2),
                "fused_ops": attribute(strings=[b"BiasAdd", b"Relu", b"Requantize"]),
                "strides": attribute(integers=[1, 1, 1, 1]),
                "padding": attribute(string=b"SAME"),
            },
        )
        result = tf.raw_ops.Dequantize(
            input=operation.outputs[0],
            min_range=operation.outputs[1],
            max_range=operation.outputs[2],
            mode="SCALED",
            name="block/dequantized",
        )
        proto = target.as_graph_def()
    for node in proto.node:
        if node.name == "pool/MaxPool2d":
            node.input[0] = result.op.name
    return proto


def attribute(type=None, types=(), strings=(), integers=(), string=None):
    value = tf.compat.v1.AttrValue()
    if type is not None:
        value.type = type.as_datatype_enum
    elif string is not None:
        value.s = string
    else:
        value.list.type.extend(kind.as_datatype_enum for kind in types)
        value.list.s.extend(strings)
        value.list.i.extend(integers)
    return value


def scores(proto, frozen):
    return run(proto, {frozen.input_tensors[0]: pictures()}, frozen.output_tensors)[0]


def test_the_8_bit_convolution_is_close_to_the_float_one(frozen, quantized):
    exact = scores(frozen.proto, frozen)
    error = np.linalg.norm(scores(quantized, frozen) - exact) / np.linalg.norm(exact)
    assert 0 < error < 0.03


def test_a_fresh_process_loads_it_under_the_models_signature_with_the_same_outputs(frozen, quantized, tmp_path):
    saving.save(quantized, frozen, tmp_path / "saved")
    np.savez(tmp_path / "data.npz", image=pictures(), scores=scores(quantized, frozen))
    command = [sys.executable, "-c", _LOADED_ELSEWHERE, str(tmp_path / "saved"), str(tmp_path / "data.npz")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["inputs"] == {"image": [[None, 16, 16, 3], "float32"]}
    assert told["outputs"] == {"scores": [[None, 5], "float32"]}
    assert told["difference"] < 1e-5


def test_the_loader_of_tensorflow_1_takes_it_as_serving_does(frozen, quantized, tmp_path):
    saving.save(quantized, frozen, tmp_path)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        meta = tf.compat.v1.saved_model.load(session, ["serve"], str(tmp_path))
        signature = meta.signature_def["serving_default"]
        feed = {signature.inputs["image"].name: pictures()}
        found = session.run(signature.outputs["scores"].name, feed)
    assert signature.method_name == "tensorflow/serving/predict"
    np.testing.assert_allclose(found, scores(quantized, frozen), atol=1e-5)


def test_what_is_read_back_is_what_was_written(frozen, quantized, tmp_path):
    saving.save(quantized, frozen, tmp_path, {"plan": {"a": 1}})
    saved = saving.load(tmp_path)
    assert [node.name for node in saved.frozen.proto.node] == [node.name for node in quantized.node]
    assert (saved.frozen.inputs, saved.frozen.outputs) == (frozen.inputs, frozen.outputs)
    assert saved.record is not None
    assert saved.record["plan"] == {"a": 1}
    np.testing.assert_array_equal(scores(saved.frozen.proto, saved.frozen), scores(quantized, frozen))


def test_the_files_it_names_are_all_there_is(frozen, tmp_path):
    files = saving.save(frozen.proto, frozen, tmp_path)
    assert sorted(files) == sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file())


def test_the_size_is_that_of_the_files(frozen, tmp_path):
    files = saving.save(frozen.proto, frozen, tmp_path)
    assert saving.load(tmp_path).size_bytes == sum((tmp_path / name).stat().st_size for name in files)


def test_a_serving_signature_of_another_name_is_kept(tmp_path):
    weight = tf.constant(np.ones((4, 3), np.float32))
    module = tf.Module()
    module.score = tf.function(lambda x: {"scores": x @ weight}, input_signature=[tf.TensorSpec((None, 4), name="x")])
    tf.saved_model.save(module, str(tmp_path / "own"), signatures={"score": module.score})
    frozen = read(ModelSource(tmp_path / "own"))
    saving.save(frozen.proto, frozen, tmp_path / "saved")
    assert list(tf.saved_model.load(str(tmp_path / "saved")).signatures) == ["score"]


def test_inputs_and_outputs_keep_their_order(tmp_path):
    keras = small_tf.keras
    b, a = keras.Input((4,), name="b"), keras.Input((4,), name="a")
    frozen = read(ModelSource(keras.Model([b, a], [keras.layers.Dense(2, name="z")(a), keras.layers.Dense(2)(b)])))
    saving.save(frozen.proto, frozen, tmp_path)
    assert saving.load(tmp_path).frozen.inputs == frozen.inputs
    assert saving.load(tmp_path).frozen.outputs == frozen.outputs


def test_a_model_autoq_did_not_write_is_loaded_too(frozen, quantized, tmp_path):
    small_tf.small_cnn().save(tmp_path / "own.keras")
    assert saving.load(tmp_path / "own.keras").record is None
    saving.save(quantized, frozen, tmp_path / "saved")
    (tmp_path / "saved" / saving.DESCRIPTION).unlink()
    again = saving.load(tmp_path / "saved").frozen
    np.testing.assert_allclose(scores(again.proto, again), scores(quantized, frozen), atol=1e-5)


def test_a_quantized_model_is_refused_as_one_to_quantize(frozen, quantized, tmp_path):
    saving.save(quantized, frozen, tmp_path)
    with pytest.raises(ModelError, match=r"quantized already: node '.*' is a "):
        read(ModelSource(tmp_path))


@pytest.mark.parametrize("damage", ["truncated", "empty", "description", "signature"])
def test_a_damaged_one_is_refused(frozen, tmp_path, damage):
    saving.save(frozen.proto, frozen, tmp_path)
    model, description = tmp_path / saving.SAVED_MODEL, tmp_path / saving.DESCRIPTION
    if damage == "truncated":
        model.write_bytes(model.read_bytes()[:1000])
    elif damage == "empty":
        model.write_bytes(SavedModel().SerializeToString())
    elif damage == "description":
        description.write_text("{", encoding="utf-8")
    else:
        description.write_text(json.dumps({"signature": "serving_default"}), encoding="utf-8")
    with pytest.raises(ModelError, match="damaged"):
        saving.load(tmp_path)


def test_a_place_that_cannot_be_written(frozen, tmp_path):
    (tmp_path / "taken").write_text("a file", encoding="utf-8")
    with pytest.raises(StoreError, match="cannot be written"):
        saving.save(frozen.proto, frozen, tmp_path / "taken")
