"""Packed weights are made once, and only given out where they are the same."""

from __future__ import annotations

import small_torch
import torch
from torch import nn

from autoq.adaptors.pytorch_fx.adaptor import FxAdaptor
from autoq.core.adaptor import ModelSource, RunOptions
from autoq.core.precision import Granularity
from autoq.core.space import Space

ADAPTOR = FxAdaptor()


def _loaded(name: str):  # type: ignore[no-untyped-def]
    model = ADAPTOR.load(ModelSource(small_torch.FACTORIES[name](), example=lambda: small_torch.inputs_for(name)))
    table = ADAPTOR.capabilities(model)
    return model, table, ADAPTOR.calibrate(model, small_torch.batches_for(name), ADAPTOR.needs(model, table))


def _packed(module: nn.Module) -> dict[str, object]:
    return {n: m._packed_params for n, m in module.named_modules() if hasattr(m, "_packed_params")}


def test_plans_share_packed_weights() -> None:
    model, table, calibration = _loaded("small_cnn")
    plan = Space.of(table).full_plan()
    first, again = (_packed(ADAPTOR.apply(model, plan, calibration, RunOptions()).native) for _ in range(2))
    assert first
    shared = [name for name in first if not isinstance(first[name], nn.Module)]
    assert shared
    assert all(first[name] is again[name] for name in shared)


def test_another_granularity_is_packed_anew() -> None:
    model, table, calibration = _loaded("small_cnn")
    outputs = []
    for granularity in (Granularity.PER_CHANNEL, Granularity.PER_TENSOR, Granularity.PER_CHANNEL):
        plan = Space.of(table).plan(
            {
                row.op.id: next(
                    (i for i, p in enumerate(row.precisions) if p.weight and p.weight.granularity is granularity), 0
                )
                for row in table
            }
        )
        candidate = ADAPTOR.apply(model, plan, calibration, RunOptions())
        outputs.append(next(iter(candidate.predict(small_torch.inputs_for("small_cnn")).values())))
    assert (outputs[0] == outputs[2]).all()
    assert (outputs[0] != outputs[1]).any()


def test_the_framework_is_as_it_was() -> None:
    from torch.ao.nn.quantized.modules.linear import LinearPackedParams

    before = (LinearPackedParams.set_weight_bias, torch._empty_affine_quantized)
    model, table, calibration = _loaded("small_mlp")
    ADAPTOR.apply(model, Space.of(table).full_plan(), calibration, RunOptions())
    assert (LinearPackedParams.set_weight_bias, torch._empty_affine_quantized) == before
