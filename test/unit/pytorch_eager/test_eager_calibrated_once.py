"""A plan built from statistics collected once equals the framework's own quantization of that plan, bit for bit."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import small_torch
import torch
from eager_from_scratch import quantize_from_scratch, scales_from_scratch
from hypothesis import given, settings
from hypothesis import strategies as st

from autoq.adaptors.pytorch.guard import guarded
from autoq.adaptors.pytorch.model import TorchModel
from autoq.adaptors.pytorch.outputs import flatten
from autoq.adaptors.pytorch_eager.adaptor import EagerAdaptor
from autoq.adaptors.pytorch_eager.base import base_of
from autoq.core.adaptor import ModelSource, RunOptions
from autoq.core.capability import CapabilityTable
from autoq.core.plan import Plan
from autoq.core.precision import DType, Mode, OpPrecision, Scheme, TensorQuant
from autoq.core.space import Space
from autoq.core.statistics import Calibration

MODELS = ("small_mlp", "small_cnn", "small_transformer", "small_lstm", "small_unet", "small_detector", "called_twice")

_ADAPTOR = EagerAdaptor()
_OBSERVED = TensorQuant(DType.UINT8, Scheme.ASYM)  # what the framework's MinMax observers make


@functools.cache
def _prepared(name: str) -> tuple[TorchModel, CapabilityTable, Calibration]:
    module = small_torch.FACTORIES[name]()
    model = _ADAPTOR.load(ModelSource(module, example=lambda: small_torch.inputs_for(name)))
    table = _ADAPTOR.capabilities(model)
    calibration = _ADAPTOR.calibrate(model, small_torch.batches_for(name), _ADAPTOR.needs(model, table))
    return model, table, calibration


def _require_equal(name: str, plan: Plan) -> None:
    model, _, calibration = _prepared(name)
    ours: Any = _ADAPTOR.apply(model, plan, calibration, RunOptions()).native
    theirs = quantize_from_scratch(model, plan, small_torch.batches_for(name))
    for op_id, precision in plan.precisions.items():
        if precision.mode is Mode.STATIC:
            path = base_of(model).fusion.ops[op_id].path
            leaf = ours.get_submodule(path)
            found = (leaf.scale, leaf.zero_point, leaf.quantized.scale, leaf.quantized.zero_point)
            assert found == scales_from_scratch(theirs, path), op_id
    args, kwargs = model.signature.bind(small_torch.inputs_for(name, 5, seed=77))
    with guarded():
        wanted, found_outputs = flatten(theirs(*args, **kwargs)), flatten(ours(*args, **kwargs))
    for key, tensor in wanted.items():
        assert torch.equal(tensor, found_outputs[key]), key


def _minmax(table: CapabilityTable) -> dict[str, list[OpPrecision]]:
    """The precisions of each op that a framework's MinMax observers can make."""
    return {
        row.op.id: [
            p
            for p in row.precisions
            if p.mode in (Mode.DYNAMIC, Mode.FP32) or (p.mode is Mode.STATIC and p.activation == _OBSERVED)
        ]
        for row in table
    }


@pytest.mark.parametrize("name", MODELS)
def test_full_plan(name: str) -> None:
    _require_equal(name, Space.of(_prepared(name)[1]).full_plan())


@pytest.mark.parametrize("name", MODELS)
def test_every_single_fallback(name: str) -> None:
    _, table, _ = _prepared(name)
    full = Space.of(table).full_plan()
    for row in table:
        _require_equal(name, full.with_precisions({row.op.id: row.precisions[-1]}))


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_random_plans(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(MODELS))
    choices = _minmax(_prepared(name)[1])
    _require_equal(name, Plan({op: data.draw(st.sampled_from(ps)) for op, ps in choices.items()}))
