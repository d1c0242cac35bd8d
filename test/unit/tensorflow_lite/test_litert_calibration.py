"""Statistics streamed from the float model, and the ranges the quantizer gets from them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ai_edge_quantizer import qtyping, quantizer
from ai_edge_quantizer.calibrator import Calibrator
from ai_edge_quantizer.utils import qsv_utils

from autoq.adaptors.tensorflow_lite.calibrator import collect, observe, rows_within, split
from autoq.adaptors.tensorflow_lite.capabilities import capability_table
from autoq.adaptors.tensorflow_lite.micro import micro_model
from autoq.adaptors.tensorflow_lite.model import LiteModel
from autoq.adaptors.tensorflow_lite.ranges import observable, ranges
from autoq.adaptors.tensorflow_lite.reading import load
from autoq.core.adaptor import ModelSource
from autoq.core.batch import Batch
from autoq.core.errors import DataError, ModelError
from autoq.core.space import Space
from autoq.core.statistics import Calibration, Needs


@pytest.mark.filterwarnings("ignore:.*experimental_preserve_all_tensors:UserWarning")
def test_minmax_ranges_are_those_of_the_quantizer_itself(
    cnn: LiteModel, calibration: Calibration, pictures: np.ndarray
) -> None:
    theirs = quantizer.Quantizer(cnn.content)
    theirs.add_static_config(".*", qtyping.TFLOperationName.ALL_SUPPORTED, 8, 8)
    own: Any = Calibrator(cnn.content, num_threads=1, qsv_update_func=qsv_utils.min_max_update)
    data = {"serving_default": [{"image": pictures[i : i + 1]} for i in range(len(pictures))]}
    own.calibrate(data, theirs._recipe_manager)
    want = own.get_model_qsvs()
    found = ranges(cnn, Space.of(capability_table(cnn, {})).full_plan(), calibration)
    for name, range_ in found.items():
        # Ours contain zero, as the grids made from either do.
        assert float(range_["min"][0]) == pytest.approx(min(0.0, float(want[name]["min"].min())), rel=1e-4, abs=1e-6)
        assert float(range_["max"][0]) == pytest.approx(max(0.0, float(want[name]["max"].max())), rel=1e-4, abs=1e-6)


def test_a_plan_without_static_ops_has_no_ranges(cnn: LiteModel) -> None:
    assert ranges(cnn, Space.of(capability_table(cnn, {})).float_plan(), None) == {}


def test_statistics_do_not_depend_on_how_samples_are_batched(cnn: LiteModel, pictures: np.ndarray) -> None:
    needs = Needs(observable(cnn, cnn.ops_by_id))
    whole = collect(cnn, [Batch(pictures, None, 8)], needs)
    parts = collect(cnn, [Batch(pictures[i : i + 2], None, 2) for i in range(0, 8, 2)], needs)
    assert whole.samples == parts.samples
    for name, one in whole.tensors.items():
        other = parts.tensors[name]
        assert one.elements == other.elements
        assert (one.minimum, one.maximum) == pytest.approx((other.minimum, other.maximum), rel=1e-5, abs=1e-6)


def test_inputs_are_observed_as_they_were_fed(cnn: LiteModel, pictures: np.ndarray) -> None:
    (found,) = observe(cnn, [Batch(pictures, None, 8)], ("image",))
    np.testing.assert_array_equal(found["image"], pictures)


def test_an_unknown_tensor_is_told_with_the_nearest(cnn: LiteModel, pictures: np.ndarray) -> None:
    with pytest.raises(ModelError, match="no tensor 'score'") as raised:
        list(observe(cnn, [Batch(pictures, None, 8)], ("score",)))
    assert "scores" in (raised.value.hint or "")


def test_numbers_that_are_not_finite_are_told(cnn: LiteModel, pictures: np.ndarray) -> None:
    spoilt = pictures.copy()
    spoilt[0, 0, 0, 0] = np.nan
    with pytest.raises(DataError):
        collect(cnn, [Batch(spoilt, None, 8)], Needs(observable(cnn, cnn.ops_by_id)))


def test_batches_are_cut_to_fit_the_memory(cnn: LiteModel) -> None:
    small, large = rows_within(cnn, 1 << 16), rows_within(cnn, 1 << 26)
    assert small is not None
    assert large is not None
    assert 1 <= small < large


def test_a_model_of_fixed_batch_is_not_cut() -> None:
    assert rows_within(load(ModelSource(micro_model("CONV_2D"))), 1) is None


def test_parts_make_up_the_batch() -> None:
    x, y = np.arange(7), np.arange(7) * 2
    parts = list(split({"x": x, "y": y}, 3))
    assert [len(part["x"]) for part in parts] == [3, 3, 1]
    np.testing.assert_array_equal(np.concatenate([part["y"] for part in parts]), y)


def test_inputs_of_different_lengths_stay_together() -> None:
    assert len(list(split({"x": np.arange(7), "y": np.arange(5)}, 3))) == 1
