import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import nn

from autoq.adaptors.pytorch.guard import guarded
from autoq.adaptors.pytorch.qconfig import activation_observer, qconfig_of, weight_observer
from autoq.adaptors.pytorch.statistics import (
    Collecting,
    calibration_of,
    collectors_for,
    filled_observer,
    unfilled,
)
from autoq.calibration.grid import scale_zero_point
from autoq.calibration.histogram import TensorCollector
from autoq.core.errors import TrialError
from autoq.core.precision import DType, Granularity, Mode, Observer, OpPrecision, Scheme, TensorQuant
from autoq.core.statistics import Needs

U8 = TensorQuant(DType.UINT8, Scheme.ASYM)
S8 = TensorQuant(DType.INT8, Scheme.SYM)
PER_CHANNEL = TensorQuant(DType.INT8, Scheme.SYM, Granularity.PER_CHANNEL)

finite = st.floats(-(2.0**99), 2.0**99, width=32)
batches = st.lists(hnp.arrays(np.float32, hnp.array_shapes(max_dims=3, max_side=6), elements=finite), min_size=1)


def calibrated(arrays, histogram=True):
    collectors = collectors_for(Needs(("x",), histogram))
    module = Collecting(collectors["x"])
    for array in arrays:
        module(torch.from_numpy(array))
    return calibration_of(collectors, len(arrays), "model")


@settings(max_examples=60, deadline=None)
@given(batches, st.sampled_from([U8, S8]))
def test_a_filled_observer_equals_one_that_saw_the_data(arrays, quant):
    with guarded():
        seen = activation_observer(quant)()
        for array in arrays:
            seen(torch.from_numpy(array))
        filled = filled_observer(activation_observer(quant)(), calibrated(arrays), "x", quant)
        (scale, zero), (wanted_scale, wanted_zero) = filled.calculate_qparams(), seen.calculate_qparams()
    assert torch.equal(scale, wanted_scale)
    assert torch.equal(zero, wanted_zero)


@pytest.mark.parametrize("observer", [Observer.PERCENTILE, Observer.KL, Observer.MSE])
def test_other_ranges_come_from_the_same_statistics(observer):
    values = np.random.default_rng(0).standard_t(3, 300_000).astype(np.float32)
    quant = TensorQuant(DType.UINT8, Scheme.ASYM, observer=observer)
    with guarded():
        wide = filled_observer(activation_observer(U8)(), calibrated([values]), "x", U8)
        narrow = filled_observer(activation_observer(quant)(), calibrated([values]), "x", quant)
        assert float(narrow.calculate_qparams()[0]) < float(wide.calculate_qparams()[0])


@settings(max_examples=60, deadline=None)
@given(batches, st.sampled_from([U8, S8]))
def test_the_grid_agrees_with_that_of_the_other_adaptors(arrays, quant):
    calibration = calibrated(arrays)
    seen = calibration.tensors["x"]
    if max(seen.maximum, -seen.minimum) < 1e-6:
        return  # torch keeps its scales above float32's epsilon
    with guarded():
        scale, zero = filled_observer(activation_observer(quant)(), calibration, "x", quant).calculate_qparams()
    wanted_scale, wanted_zero = scale_zero_point(seen.minimum, seen.maximum, quant)
    assert np.isclose(float(scale), wanted_scale, rtol=3e-7)
    # Half-way cases may fall on either side; torch's symmetric unsigned grid is not used.
    assert abs(int(zero) - wanted_zero) <= 1


def test_bfloat16_tensors_are_collected_as_float32():
    collectors = collectors_for(Needs(("x",)))
    Collecting(collectors["x"])(torch.full((3,), 2.0, dtype=torch.bfloat16))
    assert collectors["x"].statistics().maximum == 2.0


def test_token_ids_pass_through_uncounted():
    collector = TensorCollector("ids")
    ids = torch.arange(4)
    assert Collecting(collector)(ids) is ids
    assert collector.statistics().elements == 0


def test_a_copied_model_feeds_the_same_statistics():
    collector = TensorCollector("x")
    copy.deepcopy(nn.Sequential(Collecting(collector)))(torch.ones(5))
    assert collector.statistics().elements == 5


def test_a_tensor_that_was_not_seen_is_told():
    with guarded(), pytest.raises(TrialError, match=r"y: .*this tensor was not seen"):
        filled_observer(activation_observer(U8)(), calibrated([np.ones(2, np.float32)]), "y", U8)


def test_unfilled_observers_are_found():
    with guarded():
        filled = filled_observer(activation_observer(U8)(), calibrated([np.ones(2, np.float32)]), "x", U8)
        assert unfilled([("a", activation_observer(U8)()), ("b", filled)]) == ["a"]


def test_calibrations_of_equal_data_have_one_digest():
    arrays = [np.arange(6, dtype=np.float32)]
    assert calibrated(arrays).digest == calibrated(arrays).digest
    assert calibrated(arrays).digest != calibrated([arrays[0] + 1]).digest


# -- configurations --------------------------------------------------------------------------------------------------


def test_static_uses_the_whole_range():
    with guarded():
        activation = qconfig_of(OpPrecision(Mode.STATIC, PER_CHANNEL, U8)).activation()
    assert (activation.quant_min, activation.quant_max, activation.reduce_range) == (0, 255, False)
    assert activation.dtype == torch.quint8


def test_symmetric_activations_have_no_zero_point():
    with guarded():
        observer = activation_observer(S8)()
        observer(torch.tensor([-3.0, 1.0]))
        scale, zero = observer.calculate_qparams()
    assert (float(scale), int(zero)) == (np.float32(3.0 / 127), 0)


@pytest.mark.parametrize(("quant", "scales"), [(PER_CHANNEL, 4), (S8, 1)])
def test_weights_have_the_granularity_asked_for(quant, scales):
    with guarded():
        observer = weight_observer(quant)()
        observer(torch.randn(4, 3, 3, 3))
        assert observer.calculate_qparams()[0].numel() == scales


def test_dynamic_ranges_are_found_at_run_time():
    with guarded():
        assert qconfig_of(OpPrecision(Mode.DYNAMIC, PER_CHANNEL, U8)).activation().is_dynamic


@pytest.mark.parametrize("mode", [Mode.FP32, Mode.BF16])
def test_float_ops_have_no_configuration(mode):
    assert qconfig_of(OpPrecision(mode)) is None


@pytest.mark.parametrize(
    ("make", "quant"),
    [
        (activation_observer, PER_CHANNEL),
        (activation_observer, TensorQuant(DType.INT4)),
        (weight_observer, U8),
        (weight_observer, TensorQuant(DType.INT8, Scheme.SYM, observer=Observer.KL)),
        (weight_observer, TensorQuant(DType.INT8, Scheme.SYM, Granularity.PER_GROUP, group_size=32)),
    ],
)
def test_what_the_kernels_do_not_have_is_a_trial_error(make, quant):
    with pytest.raises(TrialError, match="PyTorch quantizes"):
        make(quant)
