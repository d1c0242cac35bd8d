"""A trial built from stored statistics has the very bits of one that was calibrated from scratch."""

from __future__ import annotations

import pt2e
import pytest
import small_torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pt2e import small

from autoq.adaptors.pytorch.guard import guarded
from autoq.adaptors.pytorch_pt2e.build import converted
from autoq.adaptors.pytorch_pt2e.graph import shared_copy
from autoq.adaptors.pytorch_pt2e.quantizer import static_spec, weight_spec
from autoq.adaptors.pytorch_pt2e.torchao import MinMaxObserver, X86InductorQuantizer, convert_pt2e, prepare_pt2e
from autoq.core.plan import Plan
from autoq.core.precision import FP32, DType, Granularity, Observer, OpPrecision, Scheme, TensorQuant
from autoq.core.space import Space

MODELS = ["small_mlp", "small_cnn", "small_transformer", "small_lstm", "small_unet", "small_detector", "called_twice"]


def minmax(precision: OpPrecision) -> bool:
    return precision.activation is None or precision.activation.observer is Observer.MINMAX


def equals_from_scratch(name: str, plan: Plan) -> bool:
    held = small(name)
    with guarded():
        ours = converted(held.model.graph, held.model.ops, plan, held.calibration)
        return pt2e.same(ours, held.from_scratch(plan), held.tensors())


@pytest.mark.parametrize("name", MODELS)
def test_the_full_plan_is_bit_identical(name: str) -> None:
    assert equals_from_scratch(name, Space.of(small(name).table).full_plan())


@pytest.mark.parametrize("name", ["small_cnn", "small_transformer"])
def test_one_op_in_float_is_bit_identical(name: str) -> None:
    table = small(name).table
    full = Space.of(table).full_plan()
    for op in table.ops[::3]:
        assert equals_from_scratch(name, full.with_precisions({op.id: FP32}))


@settings(max_examples=10, deadline=None)
@given(st.data())
def test_mixed_plans_are_bit_identical(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(["small_mlp", "small_cnn", "small_unet", "called_twice"]))
    choices = {row.op.id: [p for p in row.precisions if minmax(p)] for row in small(name).table}
    plan = Plan({op: data.draw(st.sampled_from(some), label=op) for op, some in choices.items()})
    assert equals_from_scratch(name, plan)


@pytest.mark.parametrize("name", ["small_mlp", "small_cnn", "small_transformer", "small_detector"])
def test_the_full_plan_is_what_torchao_makes_of_the_exported_model(name: str) -> None:
    """Its own annotations and folding, on the graph as it was exported; only the observers are set to MinMax."""
    held = small(name)
    inputs = held.tensors()
    activation = static_spec(TensorQuant(DType.UINT8, Scheme.ASYM), MinMaxObserver)
    weight = weight_spec(TensorQuant(DType.INT8, Scheme.SYM, Granularity.PER_CHANNEL))
    with guarded():
        exported = torch.export.export(small_torch.FACTORIES[name](), inputs).module(check_guards=False)
        quantizer = X86InductorQuantizer()
        quantizer.set_global(pt2e.config(activation, weight))
        ready = prepare_pt2e(exported, quantizer)
        for number in range(len(held.batches)):
            ready(*held.tensors(number))
        theirs = shared_copy(convert_pt2e(ready))
        ours = converted(held.model.graph, held.model.ops, Space.of(held.table).full_plan(), held.calibration)
        for one, other in zip(ours(*inputs), torch.utils._pytree.tree_leaves(theirs(*inputs)), strict=True):
            assert torch.equal(one, other)


@pytest.mark.parametrize("observer", [Observer.KL, Observer.MSE])
def test_other_observers_change_the_grid(observer: Observer) -> None:
    held = small("small_transformer")
    full = Space.of(held.table).full_plan()
    row = held.table.rows[4]
    plan = full.with_precisions(
        {row.op.id: next(p for p in row.precisions if p.activation and p.activation.observer is observer)}
    )
    with guarded():
        ours, whole = (converted(held.model.graph, held.model.ops, p, held.calibration) for p in (plan, full))
    assert pt2e.grids(ours) != pt2e.grids(whole)
