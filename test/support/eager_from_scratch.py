"""The framework's own eager quantization of one plan: prepare, calibrate, convert, without any of our statistics."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import torch
import torch.ao.nn.intrinsic as nni
import torch.ao.quantization as tq
from torch import Tensor, nn

from autoq.adaptors.pytorch.guard import guarded
from autoq.adaptors.pytorch.model import TorchModel
from autoq.adaptors.pytorch.transposed import widened
from autoq.adaptors.pytorch_eager.base import base_of
from autoq.core.batch import Batch
from autoq.core.plan import Plan
from autoq.core.precision import Granularity, Mode, OpPrecision

_ACTIVATION = tq.MinMaxObserver.with_args(dtype=torch.quint8, quant_min=0, quant_max=255)
_WEIGHT = {
    Granularity.PER_TENSOR: tq.MinMaxObserver.with_args(dtype=torch.qint8, qscheme=torch.per_tensor_symmetric),
    Granularity.PER_CHANNEL: tq.PerChannelMinMaxObserver.with_args(
        dtype=torch.qint8, qscheme=torch.per_channel_symmetric
    ),
}
_DYNAMIC = tq.PlaceholderObserver.with_args(dtype=torch.quint8, is_dynamic=True)


class _Narrow(nn.Module):
    """Drops the channels a widened module added."""

    def __init__(self, inner: nn.Module, channels: int) -> None:
        super().__init__()
        self.inner = inner
        self.channels = channels

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x)[:, : self.channels]


def quantize_from_scratch(model: TorchModel, plan: Plan, batches: Iterable[Batch]) -> nn.Module:
    """The quantized model the framework makes of the fused float one, each op in a `QuantWrapper` of its own."""
    base = base_of(model)
    with guarded():
        module = copy.deepcopy(base.module)
        paths = {base.fusion.ops[op_id].path: precision for op_id, precision in plan.precisions.items()}
        for path, precision in paths.items():
            if precision.mode is Mode.STATIC:
                _replace(module, path, _wrapped(module.get_submodule(path), precision))
        if any(precision.mode is Mode.STATIC for precision in paths.values()):
            tq.prepare(module, inplace=True)
        for batch in batches:
            args, kwargs = model.signature.bind(batch.inputs)
            module(*args, **kwargs)
        tq.convert(module, inplace=True)
        for path, precision in paths.items():
            if precision.mode is Mode.DYNAMIC:
                _replace(module, path, _dynamic(module.get_submodule(path), precision))
    return module


def _dynamic(leaf: Any, precision: OpPrecision) -> nn.Module:
    assert precision.weight is not None
    qconfig = (
        tq.float_qparams_weight_only_qconfig
        if isinstance(leaf, nn.Embedding)
        else tq.QConfig(_DYNAMIC, _WEIGHT[precision.weight.granularity])
    )
    if isinstance(leaf, nni.LinearReLU):
        return tq.quantize_dynamic(nn.Sequential(*leaf).eval(), {"0": qconfig})
    return tq.quantize_dynamic(nn.Sequential(leaf).eval(), {"0": qconfig})[0]


def _wrapped(leaf: Any, precision: OpPrecision) -> nn.Module:
    assert precision.weight is not None
    transposed = isinstance(leaf, nn.modules.conv._ConvTransposeNd)
    wrapper = tq.QuantWrapper(widened(leaf) if transposed else leaf)
    wrapper.qconfig = tq.QConfig(_ACTIVATION, _WEIGHT[precision.weight.granularity])
    return _Narrow(wrapper, leaf.out_channels).eval() if transposed else wrapper.eval()


def _replace(module: nn.Module, path: str, leaf: nn.Module) -> None:
    parent, _, name = path.rpartition(".")
    setattr(module.get_submodule(parent), name, leaf)


def scales_from_scratch(module: nn.Module, path: str) -> tuple[float, int, float, int]:
    """Scale and zero point of the input and output of an op."""
    leaf: Any = module.get_submodule(path)
    wrapper = leaf.inner if isinstance(leaf, _Narrow) else leaf
    quant, inner = wrapper.quant, wrapper.module
    return float(quant.scale), int(quant.zero_point), inner.scale, inner.zero_point
