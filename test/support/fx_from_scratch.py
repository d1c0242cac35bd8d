"""Calibrating one plan from scratch with torch.ao's public functions alone: what calibrate-once must agree with."""

from __future__ import annotations

import copy
import re
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.ao.quantization import (
    MinMaxObserver,
    PerChannelMinMaxObserver,
    QConfig,
    QConfigMapping,
    default_dynamic_qconfig,
)
from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx
from torch.fx import GraphModule

from autoq.adaptors.pytorch.guard import guarded
from autoq.adaptors.pytorch.model import TorchModel
from autoq.adaptors.pytorch_fx.graph import FxGraph
from autoq.adaptors.pytorch_fx.trace import SCOPE
from autoq.core.batch import Batch
from autoq.core.plan import Plan
from autoq.core.precision import Granularity, Mode, OpPrecision


def qconfig(precision: OpPrecision) -> QConfig:
    """uint8 activations of the whole range, int8 weights, written down once more."""
    assert precision.weight is None or precision.weight.granularity is not Granularity.PER_GROUP
    if precision.weight is not None and precision.weight.granularity is Granularity.PER_TENSOR:
        weight = MinMaxObserver.with_args(dtype=torch.qint8, qscheme=torch.per_tensor_symmetric)
    else:
        weight = PerChannelMinMaxObserver.with_args(dtype=torch.qint8, qscheme=torch.per_channel_symmetric)
    if precision.mode is Mode.DYNAMIC:
        return QConfig(activation=default_dynamic_qconfig.activation, weight=weight)
    return QConfig(activation=MinMaxObserver.with_args(dtype=torch.quint8, quant_min=0, quant_max=255), weight=weight)


def from_scratch(
    model: TorchModel, graph: FxGraph, plan: Plan, batches: Sequence[Batch], module: nn.Module | None = None
) -> GraphModule:
    """Prepare, calibrate and convert a plan on the user's own module, or on `module` in its place.

    With as many threads as calibrate-once: another number adds up convolutions in another order.
    """
    root = copy.deepcopy(module if module is not None else model.module).eval()
    mapping = _mapping(graph, plan, scoped=module is None)
    with guarded(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        prepared = prepare_fx(root, mapping, model.example[0] or tuple(model.example[1].values()))
        for batch in batches:
            args, kwargs = model.signature.bind(batch.inputs)
            prepared(*args, **kwargs)
        converted: GraphModule = convert_fx(prepared)
    return converted


def _mapping(graph: FxGraph, plan: Plan, *, scoped: bool) -> QConfigMapping:
    mapping = QConfigMapping().set_global(None)
    configs: dict[OpPrecision, QConfig] = {p: qconfig(p) for p in set(plan.precisions.values())}
    chosen: dict[str, OpPrecision | None] = {}
    counts: Counter[tuple[str, Any]] = Counter()
    for node in graph.fused.graph.nodes:
        owner = graph.owner.get(node.name)
        if owner is not None:
            precision = plan.precisions.get(owner.id)
        else:
            precision = chosen.get(graph.sources.get(node.name, ""))
            precision = precision if precision is not None and precision.mode is Mode.STATIC else None
        chosen[node.name] = precision
        config = configs[precision] if precision is not None else None
        if node.op == "call_module":
            # In the user's own module, calls after the first share the module.
            mapping.set_module_name(re.sub(r"_call\d+$", "", node.target) if scoped else node.target, config)
        elif node.op == "call_function":
            scope = node.meta.get(SCOPE, "") if scoped else ""
            mapping.set_module_name_object_type_order(scope, node.target, counts[(scope, node.target)], config)
            counts[(scope, node.target)] += 1
        elif node.op == "call_method" and config is not None:
            mapping.set_object_type(node.target, config)
    return mapping


def grids(converted: GraphModule) -> list[tuple[str, Any]]:
    """Every scale and zero point of a converted model, with those of its weights, in the order of its graph."""
    return list(_grids(converted))


def _grids(converted: GraphModule) -> Iterator[tuple[str, Any]]:
    modules: Mapping[str, nn.Module] = dict(converted.named_modules(remove_duplicate=False))
    for node in converted.graph.nodes:
        if node.op == "call_module":
            module: Any = modules[node.target]
            if "quantized" in type(module).__module__ and hasattr(module, "scale"):
                yield type(module).__name__, (float(module.scale), int(module.zero_point))
            if callable(getattr(module, "weight", None)):
                weight = module.weight()
                yield "weight", (weight.int_repr().flatten().tolist()[:64], _scales(weight))
        elif node.op == "get_attr":
            value = getattr(converted, node.target, None)
            if isinstance(value, Tensor) and value.numel() == 1:
                yield "constant", value.item()


def _scales(weight: Tensor) -> list[float]:
    if weight.qscheme() in (torch.per_channel_affine, torch.per_channel_symmetric):
        return list(weight.q_per_channel_scales().tolist())
    return [weight.q_scale()]
