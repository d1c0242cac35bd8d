"""What trials are scored on has the very bits of the converted graph."""

from __future__ import annotations

import pt2e
import pytest
import torch
from pt2e import small

from autoq.adaptors.pytorch.guard import guarded
from autoq.adaptors.pytorch_pt2e.build import converted
from autoq.adaptors.pytorch_pt2e.realized import realized_plan, tuning_record
from autoq.adaptors.pytorch_pt2e.reference import faster
from autoq.core.plan import Plan
from autoq.core.precision import Mode
from autoq.core.space import Space


def plan_of(name: str, mode: Mode) -> Plan:
    rows = small(name).table
    chosen = {row.op.id: next((p for p in row.precisions if p.mode is mode), row.precisions[-1]) for row in rows}
    return Plan(chosen)


@pytest.mark.parametrize("mode", [Mode.STATIC, Mode.DYNAMIC])
@pytest.mark.parametrize("name", ["small_mlp", "small_cnn", "small_unet", "called_twice"])
def test_equal_bits(name: str, mode: Mode) -> None:
    held = small(name)
    with guarded():
        graph = converted(held.model.graph, held.model.ops, plan_of(name, mode), held.calibration)
        for number in range(len(held.batches)):
            inputs = held.tensors(number)
            pairs = zip(faster(graph)(*inputs), graph(*inputs), strict=True)
            assert all(torch.equal(ours, theirs) for ours, theirs in pairs)


def test_a_concat_of_float_tensors_is_not_realized() -> None:
    held = small("small_unet")
    precision = next(p for p in small("small_cnn").table["conv1"].precisions if p.mode is Mode.STATIC)
    plan = Plan({"cat": type(precision)(Mode.STATIC, None, precision.activation), "head": precision})
    with guarded():
        graph = converted(held.model.graph, held.model.ops, plan, held.calibration)
    assert set(realized_plan(plan, held.model.ops, graph)) == {"head"}


def test_the_record_holds_scales_and_zero_points() -> None:
    held = small("small_cnn")
    plan = Space.of(held.table).full_plan()
    with guarded():
        graph = converted(held.model.graph, held.model.ops, plan, held.calibration)
    record = tuning_record(realized_plan(plan, held.model.ops, graph), held.model.ops, graph)
    fused = record["layer1.0.pointwise"]
    assert len(fused["input"]) == 2
    assert fused["output"]["zero_point"] == 0
    assert len(fused["weight"]["scales"]) == 16
    assert {(g[1], g[2]) for g in pt2e.grids(graph) if "per_tensor" in g[0]} >= {
        (grid["scale"], grid["zero_point"]) for entry in record.values() for grid in entry["input"]
    }


def test_a_symmetric_grid_is_told_as_int8() -> None:
    held = small("small_mlp")
    row = held.table["2"]
    plan = Plan({"2": next(p for p in row.precisions if "sym" in p.label)})
    with guarded():
        graph = converted(held.model.graph, held.model.ops, plan, held.calibration)
    record = tuning_record(plan, held.model.ops, graph)
    assert record["2"]["input"][0]["zero_point"] == 0
