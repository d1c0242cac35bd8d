import itertools
import random

from hypothesis import given
from hypothesis import strategies as st

from autoq.core.capability import Capability, CapabilityTable, Op, Recipe
from autoq.core.precision import FP32, DType, Granularity, Mode, OpPrecision, TensorQuant
from autoq.core.space import Space
from autoq.strategies.walk import Place, nearby

STATIC = OpPrecision(Mode.STATIC, TensorQuant(DType.INT8), TensorQuant(DType.UINT8))
PER_CHANNEL = OpPrecision(
    Mode.STATIC, TensorQuant(DType.INT8, granularity=Granularity.PER_CHANNEL), TensorQuant(DType.UINT8)
)


def space_of(counts, recipes=0):
    rows = tuple(
        Capability(Op(f"op{i}", "Conv"), (*(STATIC, PER_CHANNEL)[: n - 1], FP32)) for i, n in enumerate(counts)
    )
    return Space.of(CapabilityTable(rows, recipes=tuple(Recipe(f"r{i}") for i in range(recipes))))


def distance(a: Place, b: Place) -> int:
    return sum(x != y for x, y in zip(a.choices, b.choices, strict=True)) + (a.recipes != b.recipes)


@given(st.lists(st.integers(2, 3), min_size=1, max_size=5), st.integers(0, 2), st.integers(0, 99))
def test_every_other_plan_comes_once_nearest_first(counts, recipes, seed):
    space = space_of(counts, recipes)
    start = Place(tuple(random.Random(seed).randrange(n) for n in counts))
    found = list(nearby(start, space, random.Random(seed)))
    assert len({start, *found}) == 1 + len(found) == space.size
    distances = [distance(start, place) for place in found]
    assert distances == sorted(distances)


def test_the_first_few_of_a_huge_space_come_at_once():
    space = space_of([3] * 2000)
    found = itertools.islice(nearby(Place((0,) * 2000), space, random.Random(0)), 5)
    assert {distance(Place((0,) * 2000), place) for place in found} == {1}


def test_the_order_follows_the_seed():
    space = space_of([2] * 8)
    first, again, other = (list(nearby(Place((0,) * 8), space, random.Random(s))) for s in (1, 1, 2))
    assert first == again != other
