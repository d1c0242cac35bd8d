"""Profiles: rules over the capability table."""

from __future__ import annotations

import pytest

from autoq.core.capability import Capability, CapabilityTable, Op
from autoq.core.precision import FP32, DType, Granularity, Mode, OpPrecision, Scheme, TensorQuant
from autoq.core.profile import PROFILES

WEIGHT = TensorQuant(DType.INT8, Scheme.SYM, Granularity.PER_CHANNEL)
COARSE = TensorQuant(DType.INT8, Scheme.SYM)
UNSIGNED = TensorQuant(DType.UINT8, Scheme.ASYM)
SIGNED = TensorQuant(DType.INT8, Scheme.SYM)

OPENVINO = OpPrecision(Mode.STATIC, WEIGHT, UNSIGNED)
TENSORRT = OpPrecision(Mode.STATIC, WEIGHT, SIGNED)
PER_TENSOR = OpPrecision(Mode.STATIC, COARSE, UNSIGNED)
DYNAMIC = OpPrecision(Mode.DYNAMIC, WEIGHT, UNSIGNED)


def table(op_type="Conv", *precisions):
    costs = tuple(float(i) for i in range(len(precisions)))
    return CapabilityTable((Capability(Op("a", op_type), precisions, costs=costs),))


@pytest.mark.parametrize(("profile", "kept"), [("openvino", OPENVINO), ("tensorrt", TENSORRT)])
def test_a_profile_keeps_what_its_runtime_takes_and_float(profile, kept):
    offered = table("Conv2d", OPENVINO, TENSORRT, PER_TENSOR, DYNAMIC, FP32)
    assert PROFILES[profile].restrict(offered)["a"].precisions == (kept, FP32)


def test_costs_stay_with_their_precisions():
    restricted = PROFILES["tensorrt"].restrict(table("Linear", OPENVINO, TENSORRT, FP32))["a"]
    assert restricted.costs == (1.0, 2.0)


def test_tensorrt_quantizes_only_some_op_types():
    assert PROFILES["tensorrt"].restrict(table("Softmax", TENSORRT, FP32))["a"].precisions == (FP32,)


def test_an_op_without_a_weight_is_judged_by_its_activation():
    alone = OpPrecision(Mode.STATIC, None, UNSIGNED)
    assert PROFILES["openvino"].restrict(table("Add", alone, FP32))["a"].precisions == (alone, FP32)
