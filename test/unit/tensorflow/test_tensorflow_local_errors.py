"""The error each op makes by itself."""

from __future__ import annotations

import numpy as np
import pytest
import small_tf
from tf_plans import ADAPTOR, THREADS, prepared

from autoq.core.batch import Batch
from autoq.core.errors import TrialError
from autoq.core.plan import FP32_PLAN


def test_the_error_of_a_layer_is_that_of_its_grids() -> None:
    """The first dense layer, quantized by hand: input to 8 bits per tensor, weight to 8 bits per column."""
    given = prepared(small_tf.small_mlp)
    errors = ADAPTOR.local_errors(given.model, given.full, given.calibration, [Batch(given.inputs, None, 6)], THREADS)
    kernel, bias = (w.numpy() for w in given.keras.get_layer("hidden1").weights)
    x = given.inputs
    scale = (x.max() - x.min()) / 255
    steps = np.abs(kernel).max(axis=0) / 127
    rounded = (np.rint(x / scale) * scale) @ (np.rint(kernel / steps) * steps) + bias
    want, found = np.maximum(x @ kernel + bias, 0), np.maximum(rounded, 0)
    by_hand = ((want - found) ** 2).sum() / (want**2).sum()
    # The layer's own result is stored in 8 bits, too, where the next one reads it so.
    assert 0.3 * by_hand < errors["hidden1/MatMul"] < 4 * by_hand


@pytest.mark.parametrize("make", [small_tf.small_cnn, small_tf.small_resnet, small_tf.small_transformer])
def test_every_quantized_op_has_a_small_error(make) -> None:
    given = prepared(make)
    batches = [Batch(given.inputs[:2], None, 2), Batch(given.inputs[2:], None, 4)]
    errors = ADAPTOR.local_errors(given.model, given.full, given.calibration, batches, THREADS)
    assert set(errors) == set(given.full)
    assert all(0 <= error < 0.01 for error in errors.values())


def test_a_plan_without_calibration_is_a_failed_trial() -> None:
    given = prepared(small_tf.small_mlp)
    with pytest.raises(TrialError):
        ADAPTOR.local_errors(given.model, given.full, None, [], THREADS)
    assert ADAPTOR.local_errors(given.model, FP32_PLAN, None, [], THREADS) == {}
