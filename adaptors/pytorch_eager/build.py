"""From a plan to a model: what is quantized is put in place of what was float."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import nn

from autoq.adaptors.pytorch.qconfig import activation_observer
from autoq.adaptors.pytorch.statistics import filled_observer, range_of
from autoq.adaptors.pytorch_eager.base import Base, with_replaced
from autoq.adaptors.pytorch_eager.convert import quantized_module
from autoq.adaptors.pytorch_eager.fusion import EagerOp
from autoq.adaptors.pytorch_eager.leaves import (
    Bf16Leaf,
    DynamicLeaf,
    EmbeddingLeaf,
    GruLeaf,
    LstmLeaf,
    QuantizedLeaf,
    StaticLeaf,
)
from autoq.core.errors import TrialError
from autoq.core.plan import Plan
from autoq.core.precision import DType, Mode, OpPrecision, Scheme, TensorQuant
from autoq.core.statistics import Calibration

_UNFUSED: Mapping[str, type[QuantizedLeaf]] = {"Embedding": EmbeddingLeaf, "LSTM": LstmLeaf, "GRU": GruLeaf}
_ACTIVATIONS = ((DType.UINT8, Scheme.ASYM), (DType.INT8, Scheme.SYM))


@dataclass(frozen=True)
class Grid:
    """Scale and zero point of a quantized tensor."""

    scale: float
    zero_point: int


def build(base: Base, plan: Plan, calibration: Calibration | None) -> nn.Module:
    """The model a plan describes. The engine must be set.

    Raises:
        TrialError: An op has no such form, or calibration did not see a tensor.
    """
    ops = base.fusion.ops
    unknown = next((op for op in plan if op not in ops), None)
    if unknown is not None:
        raise TrialError("the plan names an op this model does not have", where=unknown)
    grids = _grids(base, plan, calibration)
    replacements: dict[str, nn.Module] = {}
    for op_id, precision in plan.precisions.items():
        op = ops[op_id]
        _require(op, precision)
        match precision.mode:
            case Mode.STATIC:
                replacements[op.path] = _static(base, op, precision, grids)
            case Mode.DYNAMIC:
                replacements[op.path] = _dynamic(base, op, precision)
            case _:
                replacements[op.path] = Bf16Leaf(copy.deepcopy(base.module.get_submodule(op.path)).bfloat16())
    _join(base, plan, replacements)
    return with_replaced(base.module, replacements).eval()


def _require(op: EagerOp, precision: OpPrecision) -> None:
    forms = {
        Mode.STATIC: op.kind.static_class,
        Mode.DYNAMIC: op.kind.dynamic_class,
        Mode.BF16: op.kind.static_class,
    }
    if forms.get(precision.mode) is None:
        raise TrialError(f"eager PyTorch has no {precision.mode} {op.kind.name}", where=op.id)
    if op.obstacle and precision.mode is not Mode.BF16:
        raise TrialError(f"this op cannot be quantized: {op.obstacle}", where=op.id)


def _grids(base: Base, plan: Plan, calibration: Calibration | None) -> Mapping[tuple[str, TensorQuant], Grid]:
    """Scale and zero point of every tensor that static ops read or make."""
    found: dict[tuple[str, TensorQuant], Grid] = {}
    for op_id, precision in plan.precisions.items():
        if precision.mode is not Mode.STATIC or precision.activation is None:
            continue
        op = base.fusion.ops[op_id]
        for tensor in (op.source, op.result):
            key = (tensor, precision.activation)
            if key not in found:
                found[key] = _grid(calibration, tensor, precision.activation)
    return found


def _grid(calibration: Calibration | None, tensor: str, quant: TensorQuant) -> Grid:
    if quant.scheme is Scheme.SYM:
        # The kernels take uint8 only: int8 around zero is carried as uint8 around 128.
        reach = max(range_of(calibration, tensor, quant))
        return Grid(max(reach / 127, torch.finfo(torch.float32).eps), 128)
    observer = activation_observer(quant)()
    filled: Any = filled_observer(observer, calibration, tensor, quant)
    scale, zero_point = filled.calculate_qparams()
    return Grid(float(scale), int(zero_point))


def _static(
    base: Base, op: EagerOp, precision: OpPrecision, grids: Mapping[tuple[str, TensorQuant], Grid]
) -> StaticLeaf:
    assert precision.activation is not None
    if (precision.activation.dtype, precision.activation.scheme) not in _ACTIVATIONS:
        raise TrialError("eager PyTorch quantizes activations to asymmetric uint8 or symmetric int8", where=op.id)
    module = quantized_module(base, op, precision)
    entry, result = grids[op.source, precision.activation], grids[op.result, precision.activation]
    module.scale, module.zero_point = result.scale, result.zero_point
    outputs: int | None = None
    if op.kind.is_transposed:
        original = cast("Any", base.module.get_submodule(op.path))
        outputs = original.out_channels if module.out_channels != original.out_channels else None
    return StaticLeaf(module, entry.scale, entry.zero_point, outputs=outputs, dense=base.dense)


def _dynamic(base: Base, op: EagerOp, precision: OpPrecision) -> nn.Module:
    module = quantized_module(base, op, precision)
    if op.kind.name in _UNFUSED:
        return _UNFUSED[op.kind.name](module)
    fused: Any = base.module.get_submodule(op.path) if op.activation is not None else None
    return DynamicLeaf(module, None if fused is None else copy.deepcopy(fused[1]))


def _join(base: Base, plan: Plan, leaves: Mapping[str, nn.Module]) -> None:
    """Leave a tensor quantized where all who take it would quantize it to the same grid again."""
    for op in base.fusion.ops.values():
        leaf, quant = leaves.get(op.path), plan[op.id].activation
        if not isinstance(leaf, StaticLeaf) or quant is None or not op.feeds or base.dense:
            continue
        takers = [base.fusion.ops.get(taker) for taker in op.feeds]
        held = [leaves.get(taker.path) if taker is not None else None for taker in takers]
        if all(
            taker is not None
            and taker.source == op.result
            and plan[taker.id].activation == quant
            and isinstance(taken, StaticLeaf)
            for taker, taken in zip(takers, held, strict=True)
        ):
            leaf.gives_quantized = True
            for taken in held:
                cast("StaticLeaf", taken).takes_quantized = True


def realized(base: Base, module: nn.Module, plan: Plan) -> Plan:
    """What a built model runs, read back from its modules: an op whose module stayed float is left out."""
    found = {op: p for op, p in plan.precisions.items() if _runs_in(module, base.fusion.ops[op], p)}
    return Plan(found, plan.recipes)


def _runs_in(module: nn.Module, op: EagerOp, precision: OpPrecision) -> bool:
    leaf: Any = module.get_submodule(op.path)
    if precision.mode is Mode.BF16:
        return isinstance(leaf, Bf16Leaf) and all(p.dtype == torch.bfloat16 for p in leaf.parameters())
    if isinstance(leaf, EmbeddingLeaf):
        return isinstance(leaf.quantized, op.kind.dynamic_class)
    wanted = op.kind.dynamic_class if precision.mode is Mode.DYNAMIC else op.kind.static_class
    held = getattr(leaf, "quantized", None)
    return isinstance(held, wanted)
