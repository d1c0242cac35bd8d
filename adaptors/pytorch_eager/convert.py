"""From the float module of an op to the framework's quantized one. Weights are quantized once and shared by trials."""

from __future__ import annotations

import copy
from typing import Any
from weakref import WeakKeyDictionary

from torch import nn
from torch.ao.quantization import float_qparams_weight_only_qconfig

from autoq.adaptors.pytorch.qconfig import qconfig_of
from autoq.adaptors.pytorch.transposed import widened
from autoq.adaptors.pytorch_eager.base import Base
from autoq.adaptors.pytorch_eager.fusion import EagerOp
from autoq.core.precision import Mode, OpPrecision, TensorQuant

_Key = tuple[str, Mode, TensorQuant | None]
_converted: WeakKeyDictionary[Base, dict[_Key, nn.Module]] = WeakKeyDictionary()


def quantized_module(base: Base, op: EagerOp, precision: OpPrecision) -> Any:
    """The quantized form of an op, made by the framework, in a module of its own.

    A static one has no ranges yet; a dynamic one lacks the activation behind it. The engine must be set.
    """
    known = _converted.setdefault(base, {})
    key = (op.id, precision.mode, precision.weight)
    if key not in known:
        known[key] = _convert(base, op, precision)
    return _sharing(known[key])


def _convert(base: Base, op: EagerOp, precision: OpPrecision) -> nn.Module:
    float_module: Any = base.module.get_submodule(op.path)
    fused = op.activation is not None
    if precision.mode is Mode.DYNAMIC:
        holder = copy.copy(float_module[0] if fused else float_module)
        embedding = isinstance(float_module, nn.Embedding)
        holder.qconfig = float_qparams_weight_only_qconfig if embedding else qconfig_of(precision)
        return op.kind.dynamic_class.from_float(holder)
    holder = copy.copy(widened(float_module) if op.kind.is_transposed else float_module)
    holder._modules = dict(float_module._modules)  # what is attached below stays away from the original
    holder.qconfig = qconfig_of(precision)
    if fused:
        holder._modules["0"] = copy.copy(float_module[0])
        holder[0].qconfig = holder.qconfig
    observer = holder.qconfig.activation()
    observer.min_val.resize_([]).fill_(0.0)
    observer.max_val.resize_([]).fill_(1.0)  # ranges come with each trial
    holder.activation_post_process = observer
    target = op.kind.fused_static_class if fused else op.kind.static_class
    return target.from_float(holder)


def _sharing(module: nn.Module) -> nn.Module:
    """A module of the same class with the same packed weights and settings of its own."""
    twin: nn.Module = object.__new__(type(module))
    twin.__dict__.update(module.__dict__)
    for registry in ("_parameters", "_buffers", "_modules"):
        twin.__dict__[registry] = dict(module.__dict__[registry])
    return twin
