"""Datasets of tf.data, as they are given to a job."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from autoq.adaptors.tensorflow.runtime import tf
from autoq.core.batch import TensorSpec
from autoq.data.iterable import IterableSource

_SPECS = (TensorSpec("features", "float32", (None, 4)),)
_INPUTS = np.random.default_rng(0).standard_normal((20, 4)).astype(np.float32)
_LABELS = np.arange(20)


def _pairs() -> Any:
    return tf.data.Dataset.from_tensor_slices((_INPUTS, _LABELS))


def _rows(source: IterableSource) -> tuple[Any, Any]:
    batches = list(source.batches())
    inputs = [b.inputs["features"] if isinstance(b.inputs, dict) else b.inputs for b in batches]
    return np.concatenate(inputs), np.concatenate([b.labels for b in batches])


@pytest.mark.parametrize(
    "make",
    [
        lambda: _pairs().batch(8),
        _pairs,
        lambda: tf.data.Dataset.from_tensor_slices(({"features": _INPUTS}, _LABELS)).batch(8),
        lambda: tf.data.Dataset.from_tensor_slices({"features": _INPUTS, "label": _LABELS}).batch(8),
        lambda: _pairs().batch(8).as_numpy_iterator(),
    ],
    ids=["batches", "samples", "by name", "labels by name", "read once"],
)
def test_every_form_gives_the_same_samples(make: Any) -> None:
    data = make()
    inputs, labels = _rows(IterableSource(lambda: data, batch_size=5, input_specs=_SPECS))
    assert np.array_equal(inputs, _INPUTS)
    assert np.array_equal(labels, _LABELS)


def test_a_shuffled_dataset_keeps_its_first_order() -> None:
    data = _pairs().shuffle(20, seed=1).batch(8)
    source = IterableSource(lambda: data, input_specs=_SPECS)
    inputs, labels = _rows(source)
    again, _ = _rows(source)
    assert np.array_equal(inputs, again)
    assert np.array_equal(inputs, _INPUTS[labels])
