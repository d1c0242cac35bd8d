import os
import pickle
import subprocess
import sys
from dataclasses import replace

import pytest
from drawn_core import dynamic, int8, op_precisions, strict_json, tensor_quants
from hypothesis import given

from autoq.core.errors import ConfigError
from autoq.core.precision import BF16, FP32, DType, Granularity, Mode, Observer, OpPrecision, Scheme, TensorQuant


@given(tensor_quants())
def test_tensor_quant_survives_json(quant: TensorQuant) -> None:
    assert TensorQuant.from_json(strict_json(quant.to_json())) == quant


@given(op_precisions())
def test_op_precision_survives_json(precision: OpPrecision) -> None:
    assert OpPrecision.from_json(strict_json(precision.to_json())) == precision


@given(op_precisions(), op_precisions())
def test_equal_labels_mean_equal_precisions(one: OpPrecision, other: OpPrecision) -> None:
    assert (one.label == other.label) == (_used(one) == _used(other))


@given(tensor_quants(), tensor_quants())
def test_equal_tensor_labels_mean_equal_quantizations(one: TensorQuant, other: TensorQuant) -> None:
    assert (one.label == other.label) == (one == other)


def test_a_pickled_precision_is_found_in_another_process() -> None:
    precision = dynamic()
    assert {precision}  # its hash is known before it travels
    child = (
        "import pickle, sys; p = pickle.load(sys.stdin.buffer); from autoq.core.precision import OpPrecision; "
        "sys.exit(p not in {OpPrecision(p.mode, p.weight, p.activation)})"
    )
    for seed in ("1", "2"):
        env = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
        subprocess.run([sys.executable, "-c", child], input=pickle.dumps(precision), env=env, check=True)


def test_labels_of_the_usual_precisions_are_short() -> None:
    assert int8(observer=Observer.PERCENTILE).label == "static u8s8 per_channel percentile"
    assert dynamic().label == "dynamic u8s8 per_channel"
    assert BF16.label == "bf16"


def test_label_names_what_is_unusual() -> None:
    weight = TensorQuant(DType.INT4, Scheme.ASYM, Granularity.PER_GROUP, Observer.MSE, 32)
    assert OpPrecision(Mode.WEIGHT_ONLY, weight).label == "weight_only s4 per_group(32) weight asym weight mse"


@pytest.mark.parametrize("mode", [Mode.FP32, Mode.BF16, Mode.FP16])
def test_float_modes_quantize_nothing(mode: Mode) -> None:
    assert OpPrecision(mode).is_float
    with pytest.raises(ConfigError, match="quantizes nothing"):
        OpPrecision(mode, weight=TensorQuant(DType.INT8))


def test_static_needs_an_activation() -> None:
    with pytest.raises(ConfigError, match="needs an activation"):
        OpPrecision(Mode.STATIC, TensorQuant(DType.INT8))


@pytest.mark.parametrize("mode", [Mode.DYNAMIC, Mode.WEIGHT_ONLY])
def test_dynamic_and_weight_only_need_a_weight(mode: Mode) -> None:
    with pytest.raises(ConfigError, match="needs a weight"):
        OpPrecision(mode)


def test_weight_only_has_no_activation() -> None:
    with pytest.raises(ConfigError, match="leaves activations in float"):
        OpPrecision(Mode.WEIGHT_ONLY, TensorQuant(DType.INT4), TensorQuant(DType.UINT8))


@pytest.mark.parametrize(
    ("granularity", "size"),
    [(Granularity.PER_GROUP, None), (Granularity.PER_CHANNEL, 32), (Granularity.PER_GROUP, 0)],
)
def test_group_size_goes_with_per_group(granularity: Granularity, size: int | None) -> None:
    with pytest.raises(ConfigError, match="group_size"):
        TensorQuant(DType.INT8, Scheme.SYM, granularity, Observer.MINMAX, size)


def test_bits_are_known_for_every_type() -> None:
    assert {t: t.bits for t in DType}[DType.UINT4] == 4
    assert all(t.bits in (4, 8, 16, 32) for t in DType)


def test_fp32_is_float() -> None:
    assert FP32.is_float
    assert not int8().is_float


def _used(precision: OpPrecision) -> OpPrecision:
    """The precision without the observer that a dynamic activation does not use."""
    if precision.mode is not Mode.DYNAMIC or precision.activation is None:
        return precision
    return replace(precision, activation=replace(precision.activation, observer=Observer.MINMAX))
