"""Candidates: how they are fed, what a user holds, and that sessions compute what their graphs say."""

from __future__ import annotations

import numpy as np
import pytest
import small_tf
from tf_plans import ADAPTOR, THREADS, prepared

from autoq.adaptors.tensorflow import adaptor
from autoq.adaptors.tensorflow.recipes import BF16
from autoq.adaptors.tensorflow.runtime import tf
from autoq.core.adaptor import ModelSource
from autoq.core.batch import Batch
from autoq.core.errors import DataError, TrialError
from autoq.core.plan import Plan
from autoq.core.space import Space

MODELS = [small_tf.small_cnn, small_tf.small_resnet, small_tf.small_transformer, small_tf.small_mlp]


def test_inputs_come_by_name_in_order_or_alone() -> None:
    given = prepared(small_tf.small_mlp)
    candidate, x = given.candidate(), given.inputs
    alone = candidate.predict(x)["scores"]
    assert np.array_equal(candidate.predict({"features": x})["scores"], alone)
    assert np.array_equal(candidate.predict([x])["scores"], alone)


def test_a_wrong_shape_names_the_input() -> None:
    given = prepared(small_tf.small_mlp)
    with pytest.raises(DataError, match="input 'features' takes float32") as caught:
        given.candidate().predict(given.inputs[:, :3])
    assert caught.value.where == "features"


def test_a_closed_candidate_says_so() -> None:
    given = prepared(small_tf.small_mlp)
    candidate = given.candidate()
    candidate.close()
    with pytest.raises(TrialError, match="was closed"):
        candidate.predict(given.inputs)


@pytest.mark.parametrize("make", MODELS)
@pytest.mark.parametrize("quantized", [False, True])
def test_a_session_computes_what_its_graph_says(make, quantized: bool) -> None:
    """Grappler, which sees stand-ins for large constants, changes nothing beyond rounding."""
    given = prepared(make)
    candidate = given.candidate(given.full if quantized else Plan())
    frozen = candidate.source.frozen
    (want,) = small_tf.run(candidate.source.proto, {frozen.input_tensors[0]: given.inputs}, frozen.output_tensors)
    (found,) = candidate.predict(given.inputs).values()
    np.testing.assert_allclose(found, want, rtol=0, atol=1e-5 * np.abs(want).max())


@pytest.mark.parametrize("quantized", [False, True])
def test_native_is_a_function_of_arrays_and_tensors(quantized: bool) -> None:
    given = prepared(small_tf.small_cnn)
    candidate = given.candidate(given.full if quantized else Plan())
    want = candidate.predict(given.inputs)["scores"]
    for found in (candidate.native(given.inputs), candidate.native(image=tf.constant(given.inputs))):
        assert list(found) == ["scores"]
        np.testing.assert_allclose(found["scores"].numpy(), want, rtol=0, atol=1e-4 * np.abs(want).max())


def test_native_runs_after_plans_were_built_from_the_same_model() -> None:
    """Looking at a node for an attribute that it lacks leaves an empty one behind, which functions refuse."""
    given = prepared(small_tf.small_cnn)
    candidate = given.candidate()
    given.candidate(given.full).close()
    half = Plan(dict(list(given.full.precisions.items())[::2]))
    assert candidate.native(given.inputs)["scores"].shape == (6, 5)
    assert given.candidate(half).native(given.inputs)["scores"].shape == (6, 5)


def test_native_refuses_names_the_model_does_not_have() -> None:
    given = prepared(small_tf.small_mlp)
    with pytest.raises(TypeError, match="wrong input 'pixels': the model takes features"):
        given.candidate().native(pixels=given.inputs)


def test_bf16_needs_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    given = prepared(small_tf.small_mlp)
    monkeypatch.setattr(adaptor, "has_bf16", lambda: False)
    with pytest.raises(TrialError, match="does not compute in bfloat16"):
        ADAPTOR.apply(given.model, Plan({}, (BF16,)), None, THREADS)


def test_bf16_rounds_products(monkeypatch: pytest.MonkeyPatch) -> None:
    """oneDNN emulates it here: the answers are near those of fp32, but not the same."""
    given = prepared(small_tf.small_cnn)
    monkeypatch.setattr(adaptor, "has_bf16", lambda: True)
    candidate = ADAPTOR.apply(given.model, Plan({}, (BF16,)), None, THREADS)
    want, found = given.candidate().predict(given.inputs)["scores"], candidate.predict(given.inputs)["scores"]
    assert candidate.realized == Plan({}, (BF16,))
    assert 0 < np.linalg.norm(found - want) / np.linalg.norm(want) < 0.05


def test_what_runs_is_known_of_pictures_of_any_size() -> None:
    """Before any batch was seen."""
    keras = small_tf.keras
    keras.utils.set_random_seed(0)
    image = keras.Input((None, None, 3), name="image")
    x = keras.layers.Conv2D(8, 5, strides=2, activation="relu", name="conv")(image)
    x = keras.layers.Conv2D(8, 5, activation="relu", name="conv2")(x)
    scores = keras.layers.Dense(3, name="scores")(keras.layers.GlobalAveragePooling2D(name="average")(x))
    model = ADAPTOR.load(ModelSource(keras.Model(image, scores)))
    table = ADAPTOR.capabilities(model)
    pictures = np.random.default_rng(0).standard_normal((2, 24, 20, 3)).astype(np.float32)
    calibration = ADAPTOR.calibrate(model, [Batch(pictures, None, 2)], ADAPTOR.needs(model, table))
    full = Space.of(table).full_plan()
    candidate = ADAPTOR.apply(model, full, calibration, THREADS)
    assert candidate.realized == full
    assert {"conv/convolution", "conv2/convolution", "scores/MatMul"} <= set(full)
    assert candidate.predict(pictures)["scores"].shape == (2, 3)
