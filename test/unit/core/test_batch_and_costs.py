import numpy as np
import pytest
from drawn_core import int8, strict_json

from autoq.core.batch import TensorSpec
from autoq.core.capability import Op
from autoq.core.precision import FP32
from autoq.core.space import Unit
from autoq.core.strategy import Costs


@pytest.mark.parametrize(
    ("shape", "array", "accepted"),
    [
        ((None, 3), np.zeros((7, 3), np.float32), True),
        (("n", 3), np.zeros((7, 3), np.float32), True),
        ((None, 3), np.zeros((7, 4), np.float32), False),
        ((None, 3), np.zeros((7, 3, 1), np.float32), False),
        ((None, 3), np.zeros((7, 3), np.float64), False),
        (None, np.zeros((1, 2, 3), np.float32), True),
        ((), np.float32(1).reshape(()), True),
    ],
)
def test_a_spec_accepts_its_dtype_and_shape(
    shape: tuple[int | str | None, ...] | None, array: np.ndarray, accepted: bool
) -> None:
    assert TensorSpec("x", "float32", shape).accepts(array) is accepted


def unit(*ops: str) -> Unit:
    return Unit("unit", tuple(Op(op, "Conv") for op in ops), (int8(), FP32))


def test_saving_is_float_less_quantized_time() -> None:
    assert Costs({"a": 3.0, "b": 2.0}, {"a": 1.0, "b": 0.5}).saving(unit("a", "b")) == pytest.approx(3.5)


def test_an_op_never_seen_quantized_is_taken_to_halve_its_time() -> None:
    assert Costs({"a": 3.0}).saving(unit("a")) == pytest.approx(1.5)


def test_an_op_the_profiler_did_not_see_saves_nothing() -> None:
    assert Costs({"a": 3.0}).saving(unit("b")) == 0


def test_without_a_profile_every_op_counts_one() -> None:
    assert Costs().saving(unit("a", "b")) == 2


def test_an_op_that_gets_slower_saves_less_than_nothing() -> None:
    assert Costs({"a": 1.0}, {"a": 1.5}).saving(unit("a")) == pytest.approx(-0.5)


def test_costs_survive_json() -> None:
    costs = Costs({"a": 1.0}, {"a": 0.5}, 300, 0.01)
    assert Costs.from_json(strict_json(costs.to_json())) == costs
