"""Statistics of intermediate tensors, streamed."""

from __future__ import annotations

import numpy as np
import pytest
import small_tf
from tf_plans import ADAPTOR, prepared

from autoq.adaptors.tensorflow import calibrator
from autoq.core.adaptor import ModelSource
from autoq.core.batch import Batch
from autoq.core.errors import DataError, ModelError
from autoq.core.statistics import Needs


@pytest.mark.parametrize("budget", [1, 1 << 13, 1 << 15])
def test_statistics_do_not_depend_on_the_budget(budget: int) -> None:
    """Neither on how many samples run together, nor on how many tensors are fetched at once."""
    given = prepared(small_tf.small_cnn)
    batches = [Batch(given.inputs, None, 6)]
    needs = Needs(tuple(given.calibration.tensors))
    found = calibrator.collect(given.model, batches, needs, threads=1, budget=budget)
    for name, want in given.calibration.tensors.items():
        assert found.tensors[name].elements == want.elements, name
        assert found.tensors[name].minimum == pytest.approx(want.minimum, abs=1e-5)
        assert found.tensors[name].maximum == pytest.approx(want.maximum, abs=1e-5)


def test_ranges_are_those_of_the_values() -> None:
    given = prepared(small_tf.small_mlp)
    names = tuple(given.calibration.tensors)
    (seen,) = calibrator.observe(given.model, [Batch(given.inputs, None, 6)], names)
    for name in names:
        statistics = given.calibration.tensors[name]
        assert (statistics.minimum, statistics.maximum) == pytest.approx((seen[name].min(), seen[name].max()), abs=1e-6)


def test_what_goes_in_can_be_observed() -> None:
    given = prepared(small_tf.small_mlp)
    (seen,) = ADAPTOR.observe(given.model, [Batch(given.inputs, None, 6)], ["features:0"])
    assert np.array_equal(seen["features:0"], given.inputs)


def test_data_that_are_not_finite_name_the_tensor() -> None:
    given = prepared(small_tf.small_mlp)
    with pytest.raises(DataError, match="features"):
        ADAPTOR.calibrate(given.model, [Batch(given.inputs * np.nan, None, 6)], Needs(("features:0",)))


def test_an_unknown_tensor_is_told_with_the_nearest_name() -> None:
    given = prepared(small_tf.small_mlp)
    with pytest.raises(ModelError, match="no tensor 'feature:0'") as caught:
        ADAPTOR.calibrate(given.model, [], Needs(("feature:0",)))
    assert "features:0" in str(caught.value)


def test_a_model_of_a_fixed_batch_is_run_as_it_is() -> None:
    keras = small_tf.keras
    keras.utils.set_random_seed(0)
    inputs = keras.Input(batch_shape=(4, 8), name="features")
    model = ADAPTOR.load(ModelSource(keras.Model(inputs, keras.layers.Dense(3, name="scores")(inputs))))
    x = np.random.default_rng(0).standard_normal((4, 8)).astype(np.float32)
    needs = ADAPTOR.needs(model, ADAPTOR.capabilities(model))
    found = calibrator.collect(model, [Batch(x, None, 4)] * 2, needs, budget=1)
    assert found.samples == 8
    assert found.tensors["features:0"].elements == 2 * x.size
