"""Uniform plans that a search starts from."""

from autoq.core.capability import Capability, CapabilityTable, Op
from autoq.core.precision import FP32, DType, Granularity, Mode, OpPrecision, TensorQuant
from autoq.core.space import Space
from autoq.strategies.styles import uniform_plans

WIDE, NARROW = (
    OpPrecision(Mode.WEIGHT_ONLY, TensorQuant(dtype, granularity=Granularity.PER_CHANNEL))
    for dtype in (DType.INT8, DType.INT4)
)


def space(*precisions: OpPrecision) -> Space:
    rows = tuple(Capability(Op(f"dense{i}", "Dense"), (*precisions, FP32), None, "test") for i in range(3))
    return Space.of(CapabilityTable(rows, ()))


def test_narrower_weights_are_tried_even_where_the_wide_ones_keep_the_limit() -> None:
    usual, others = uniform_plans(space(WIDE, NARROW))
    assert [plan.name for plan in usual] == ["weight_only per_channel"]
    assert [plan.name for plan in others] == ["weight_only 4-bit per_channel"]
    assert set(others[0].choices.values()) == {1}


def test_narrow_weights_alone_are_the_usual_ones() -> None:
    usual, others = uniform_plans(space(NARROW))
    assert [plan.name for plan in usual] == ["weight_only 4-bit per_channel"]
    assert not others
