"""Graphs after which the quantizer leaves a file inconsistent: its files load, and compute what they should."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import small_tf

from autoq.adaptors.tensorflow_lite.build import build
from autoq.adaptors.tensorflow_lite.calibrator import collect
from autoq.adaptors.tensorflow_lite.candidate import LiteCandidate
from autoq.adaptors.tensorflow_lite.capabilities import capability_table
from autoq.adaptors.tensorflow_lite.model import LiteModel
from autoq.adaptors.tensorflow_lite.ranges import observable
from autoq.adaptors.tensorflow_lite.reading import load
from autoq.core.adaptor import ModelSource, RunOptions
from autoq.core.batch import Batch
from autoq.core.plan import FP32_PLAN, Plan
from autoq.core.precision import Mode, OpPrecision
from autoq.core.space import Space
from autoq.core.statistics import Calibration, Needs

keras = small_tf.keras
layers = keras.layers


def calibrated(model: LiteModel, inputs: np.ndarray) -> Calibration:
    return collect(model, [Batch(inputs, None, len(inputs))], Needs(observable(model, model.ops_by_id)))


def errors(model: LiteModel, plan: Plan, inputs: np.ndarray) -> dict[str, float]:
    calibration = calibrated(model, inputs)
    candidate = LiteCandidate(build(model, plan, calibration), plan, model.interface, model, RunOptions(threads=1))
    assert candidate.realized == plan
    wanted = LiteCandidate(model.content, FP32_PLAN, model.interface, model, RunOptions(threads=1)).predict(inputs)
    found = candidate.predict(inputs)
    return {n: float(np.linalg.norm(found[n] - wanted[n]) / np.linalg.norm(wanted[n])) for n in wanted}


def joined_outputs(features: Any) -> Any:
    gate = layers.Conv2D(4, 3, padding="same", activation="sigmoid", name="gate")(features)
    features = layers.Conv2D(4, 3, padding="same", name="features")(features)
    return [layers.Concatenate(name="joined")([features, gate]), features, gate]


def half_of_a_split(features: Any) -> Any:
    first, _ = keras.ops.split(layers.Conv2D(4, 3, name="features")(features), 2, axis=-1)
    return layers.Conv2D(3, 1, name="scores")(first)


def some_rows(features: Any) -> Any:
    rows = keras.ops.unstack(layers.Conv2D(4, 3, name="features")(features), axis=1)
    return layers.Dense(3, name="scores")(rows[0])


@pytest.mark.parametrize("net", [joined_outputs, half_of_a_split, some_rows])
def test_results_with_readers_of_other_types_or_none(net: Any) -> None:
    keras.utils.set_random_seed(0)
    image = keras.Input(small_tf.PICTURE, name="image")
    model = load(ModelSource(keras.Model(image, net(image))))
    plan = Space.of(capability_table(model, {})).full_plan()
    assert max(errors(model, plan, small_tf.pictures(8)).values()) < 0.05


def test_a_weight_shared_by_ops_in_different_precisions() -> None:
    keras.utils.set_random_seed(0)
    steps = keras.Input((4, 8), name="steps")
    model = load(ModelSource(keras.Model(steps, layers.Dense(3)(layers.GRU(6, unroll=True)(steps)))))
    table = capability_table(model, {})
    readers: dict[int | None, list[str]] = {}
    for op in model.ops:
        readers.setdefault(op.weight, []).append(op.id)
    shared = next(ops for weight, ops in readers.items() if weight is not None and len(ops) > 1)
    static = next(p for p in table[shared[0]].precisions if p.mode is Mode.STATIC)
    inputs = np.random.default_rng(0).standard_normal((8, 4, 8)).astype(np.float32)
    plan = Plan({shared[0]: OpPrecision(Mode.FP16), shared[1]: static})
    assert max(errors(model, plan, inputs).values()) < 0.05
