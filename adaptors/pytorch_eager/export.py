"""Plans of this route as ONNX files: each quantized module becomes float ops between quantize and dequantize ops."""

from __future__ import annotations

from typing import Any

from torch import nn

from autoq.adaptors.pytorch.guard import guarded
from autoq.adaptors.pytorch.model import TorchModel
from autoq.adaptors.pytorch.reference import Reference, ReferenceLeaf, TensorGrid, notes_of, static_part
from autoq.adaptors.pytorch_eager.base import Base, base_of, with_replaced
from autoq.adaptors.pytorch_eager.build import build
from autoq.adaptors.pytorch_eager.fusion import EagerOp
from autoq.adaptors.pytorch_eager.leaves import StaticLeaf
from autoq.core.capability import Op
from autoq.core.plan import Plan
from autoq.core.statistics import Calibration


def reference(model: TorchModel, plan: Plan, calibration: Calibration | None) -> Reference:
    """The module of a plan in float ops.

    Raises:
        TrialError: The plan cannot be built.
    """
    base = base_of(model)
    static = static_part(plan)
    with guarded():
        built = build(base, static, calibration)
        leaves = {
            op.path: _leaf(base, op, leaf)
            for op in base.fusion.ops.values()
            if isinstance(leaf := built.get_submodule(op.path), StaticLeaf)
        }
        module = with_replaced(base.module, leaves).eval()
    ops = [Op(op.id, op.kind.name) for op in base.fusion.ops.values()]
    return Reference(module, ops, frozenset(static), notes_of(plan))


def _leaf(base: Base, op: EagerOp, leaf: StaticLeaf) -> ReferenceLeaf:
    held: Any = leaf.quantized
    fused: Any = base.module.get_submodule(op.path)
    original: nn.Module = fused[0] if op.activation is not None else fused
    weight, bias = held.weight(), held.bias()
    if leaf.outputs is not None:
        weight, bias = weight[:, : leaf.outputs], bias[: leaf.outputs] if bias is not None else None
    return ReferenceLeaf(
        original,
        weight,
        bias,
        TensorGrid(leaf.scale, leaf.zero_point),
        TensorGrid(float(held.scale), int(held.zero_point)),
        relu=op.activation is not None,
    )
