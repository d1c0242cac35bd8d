"""Plans of this route as ONNX files: the framework's own reference form of the prepared graph."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.ao.quantization.quantize_fx import _convert_to_reference_decomposed_fx

from autoq.adaptors.pytorch.execution import first_line
from autoq.adaptors.pytorch.guard import guarded
from autoq.adaptors.pytorch.reference import Reference, StoredWeight, notes_of, static_part
from autoq.adaptors.pytorch_fx.build import drop_barriers, fill, prepared_of
from autoq.adaptors.pytorch_fx.graph import FxGraph
from autoq.adaptors.pytorch_fx.trace import backend
from autoq.core.capability import Op
from autoq.core.errors import AutoqError, TrialError
from autoq.core.plan import Plan
from autoq.core.statistics import Calibration


def reference(graph: FxGraph, plan: Plan, calibration: Calibration | None) -> Reference:
    """The module of a plan in float ops.

    Raises:
        TrialError: The plan cannot be built.
    """
    static = static_part(plan)
    try:
        with guarded():
            prepared = prepared_of(graph, static)
            fill(prepared, graph, calibration)
            module = _convert_to_reference_decomposed_fx(prepared, backend_config=backend())
            drop_barriers(module)
            _store_weights(module)
    except AutoqError:
        raise
    except Exception as error:
        raise TrialError(f"the plan has no reference form: {type(error).__name__}: {first_line(error)}") from error
    ops = [Op(op.id, op.type) for op in graph.ops]
    return Reference(module, ops, frozenset(static), notes_of(plan))


def _store_weights(module: nn.Module) -> None:
    """Quantize weights that have one scale now: the exporter wants that scale as a number, not as a tensor."""
    for held in module.modules():
        settings: Any = held
        if getattr(held, "weight_qscheme", None) not in (torch.per_tensor_affine, torch.per_tensor_symmetric):
            continue
        scale, zero_point = settings.weight_scale.reshape(()), settings.weight_zero_point.reshape(())
        limits = (settings.weight_quant_min, settings.weight_quant_max, torch.int8)
        stored = torch.ops.quantized_decomposed.quantize_per_tensor(
            settings.weight.detach(), float(scale), int(zero_point), *limits
        )
        held.add_module("stored_weight", StoredWeight(stored, scale, zero_point, None))
        # In front of the method of the class; not as a module, which attribute access would not find.
        held.__dict__["get_weight"] = settings.stored_weight
