"""Choosing a signature, inputs and outputs, and functions that are a model."""

from __future__ import annotations

import numpy as np
import pytest
import small_tf
from small_tf import run

from autoq.adaptors.tensorflow.reading import read
from autoq.adaptors.tensorflow.runtime import tf
from autoq.core.adaptor import ModelSource
from autoq.core.errors import ModelError

X = tf.TensorSpec((None, 4), tf.float32, name="x")


class Twice(tf.Module):
    def __init__(self):
        super().__init__()
        self.weight = tf.Variable(np.arange(12, dtype=np.float32).reshape(4, 3))

    @tf.function(input_signature=[X])
    def __call__(self, x):
        return x @ self.weight

    @tf.function(input_signature=[X])
    def both(self, x):
        return {"product": x @ self.weight, "same": x}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder, module = tmp_path_factory.mktemp("signatures"), Twice()
    sets = {
        "several": {"first": module.__call__, "second": module.both},
        "default": {"serving_default": module.__call__, "second": module.both},
        "single": {"second": module.both},
        "none": None,
    }
    for name, signatures in sets.items():
        tf.saved_model.save(module, str(folder / name), signatures=signatures)
    return folder


def test_the_serving_signature_is_preferred_and_the_others_are_told(saved):
    frozen = read(ModelSource(saved / "default"))
    assert frozen.signature == "serving_default"
    assert "'second'" in frozen.notes[0]


def test_the_only_signature_is_taken(saved):
    assert read(ModelSource(saved / "single")).signature == "second"


def test_a_signature_is_chosen_by_name(saved):
    frozen = read(ModelSource(saved / "several", options={"signature": "second"}))
    assert [spec.name for spec in frozen.outputs] == ["product", "same"]


def test_several_signatures_have_to_be_chosen_from(saved):
    with pytest.raises(ModelError, match=r"several signatures: first, second") as refusal:
        read(ModelSource(saved / "several"))
    assert "model.signature" in str(refusal.value.hint)


def test_an_unknown_signature_brings_the_nearest(saved):
    with pytest.raises(ModelError, match="no signature 'secnd'") as refusal:
        read(ModelSource(saved / "several", options={"signature": "secnd"}))
    assert "'second'" in str(refusal.value.hint)


def test_a_saved_model_without_signatures_is_refused(saved):
    with pytest.raises(ModelError, match="no signature"):
        read(ModelSource(saved / "none"))


def test_a_modules_call_is_its_model():
    frozen = read(ModelSource(Twice()))
    assert (frozen.signature, frozen.inputs[0].name) == ("serving_default", "x")


def test_another_function_of_a_module_is_chosen_by_name():
    frozen = read(ModelSource(Twice(), options={"signature": "both"}))
    assert [spec.name for spec in frozen.outputs] == ["product", "same"]


def test_functions_with_a_signature_and_concrete_ones():
    module = Twice()
    data = np.eye(4, dtype=np.float32)
    for function in (module.both, module.both.get_concrete_function()):
        frozen = read(ModelSource(function))
        product = run(frozen.proto, {frozen.input_tensors[0]: data}, frozen.output_tensors)[0]
        np.testing.assert_array_equal(product, module.weight)


def test_a_function_that_does_not_say_what_it_takes_takes_what_the_data_are():
    function = tf.function(lambda x: x * 2)
    assert read(ModelSource(function, example=lambda: np.zeros((5, 4), np.float32))).inputs[0].shape == (None, 4)
    with pytest.raises(ModelError, match="does not say what it takes"):
        read(ModelSource(function))


def test_outputs_are_chosen_and_ordered_by_name_also_from_within():
    model = small_tf.small_cnn()
    frozen = read(ModelSource(model, outputs=("block_relu/Relu", "scores")))
    assert [spec.name for spec in frozen.outputs] == ["block_relu/Relu", "scores"]
    assert frozen.outputs[0].shape == (None, 8, 8, 12)
    assert not {"average/Mean"} - {node.name for node in frozen.proto.node}


def test_what_no_chosen_output_needs_is_left_out():
    frozen = read(ModelSource(small_tf.small_cnn(), outputs=("block_relu/Relu",)))
    assert "average/Mean" not in {node.name for node in frozen.proto.node}


def test_inputs_are_ordered_by_name_and_unused_ones_may_be_left_out():
    keras = small_tf.keras
    a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b")
    model = keras.Model([a, b], [keras.layers.Dense(2, name="first")(a), keras.layers.Add(name="sum")([a, b])])
    assert [spec.name for spec in read(ModelSource(model, inputs=("b", "a"))).inputs] == ["b", "a"]
    assert [spec.name for spec in read(ModelSource(model, inputs=("a",), outputs=("first",))).inputs] == ["a"]
    with pytest.raises(ModelError, match="input 'b' is left out, and the outputs need it"):
        read(ModelSource(model, inputs=("a",)))


@pytest.mark.parametrize(
    ("chosen", "said"), [({"outputs": ("score",)}, "no output 'score'"), ({"inputs": ("imag",)}, "no input 'imag'")]
)
def test_names_that_do_not_exist_bring_the_nearest(chosen, said):
    with pytest.raises(ModelError, match=said) as refusal:
        read(ModelSource(small_tf.small_cnn(), **chosen))
    assert "did you mean" in str(refusal.value.hint)


def test_outputs_of_a_frozen_graph_are_chosen_by_node():
    proto = read(ModelSource(small_tf.small_cnn())).proto
    assert [s.name for s in read(ModelSource(proto, outputs=("pool/MaxPool2d", "Identity:0"))).outputs] == [
        "pool/MaxPool2d",
        "Identity:0",
    ]
    with pytest.raises(ModelError, match="no node 'nowhere'"):
        read(ModelSource(proto, outputs=("nowhere",)))
