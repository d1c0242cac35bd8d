"""Bounds are generous: they catch a quadratic algorithm, not a slow machine."""

import time
from collections.abc import Callable
from typing import TypeVar

import pytest
from drawn_core import int8

from autoq.core.capability import Capability, CapabilityTable, Op
from autoq.core.plan import Plan
from autoq.core.precision import FP32, Granularity, Observer
from autoq.core.space import OpRule, Space, SpaceRules

T = TypeVar("T")

PRECISIONS = (*(int8(weight=g, observer=o) for g in list(Granularity)[1::-1] for o in Observer), FP32)


@pytest.fixture(scope="module")
def table() -> CapabilityTable:
    types = ("Conv", "MatMul", "Add")
    rows = tuple(Capability(Op(f"op{i}", types[i % 3]), PRECISIONS) for i in range(1000))
    return CapabilityTable(rows, tuple((f"op{i}", f"op{i + 1}") for i in range(999)))


def seconds(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def test_a_space_of_a_thousand_ops(table: CapabilityTable) -> None:
    rules = SpaceRules(op_wise=tuple((f"op{i}", OpRule(fallback=True)) for i in range(300)))
    assert seconds(lambda: Space.of(table, rules)) < 1


def test_a_full_plan_of_a_thousand_ops(table: CapabilityTable) -> None:
    assert seconds(Space.of(table).full_plan) < 1


def test_digests_of_a_thousand_ops(table: CapabilityTable) -> None:
    plan = Space.of(table).full_plan()
    assert seconds(lambda: plan.digest) < 1
    assert seconds(lambda: table.digest) < 2


def test_json_of_a_plan_of_a_thousand_ops(table: CapabilityTable) -> None:
    data = Space.of(table).full_plan().to_json()
    assert seconds(lambda: Plan.from_json(data)) < 1
