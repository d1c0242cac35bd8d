"""Which modules have a quantized form, and which settings that form cannot carry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch.ao.nn.intrinsic as nni
import torch.ao.nn.intrinsic.quantized as nniq
import torch.ao.nn.quantized as nnq
import torch.ao.nn.quantized.dynamic as nnqd
from torch import Tensor, nn


@dataclass(frozen=True)
class Kind:
    """One kind of quantizable module.

    Attributes:
        name: Op type in the capability table.
        float_class: The module.
        rank: Rank its input must have; None for any.
        static_class: Its static form; None when there is none.
        dynamic_class: Its dynamic form (for an embedding: quantized weights); None when there is none.
        fused_class: The float module with a ReLU behind it; None when the two cannot be fused.
        fused_static_class: The static form of that.
        settings: Attributes its ``forward`` reads, so that a subclass can be made plain; empty where only the very
            class is taken.
        output_axis: Axis of the weight that holds output channels.
    """

    name: str
    float_class: type[nn.Module]
    rank: int | None = None
    static_class: Any = None
    dynamic_class: Any = None
    fused_class: Any = None
    fused_static_class: Any = None
    settings: tuple[str, ...] = ()
    output_axis: int = 0

    @property
    def is_convolution(self) -> bool:
        """True for plain and transposed convolutions."""
        return self.name.startswith("Conv")

    @property
    def is_transposed(self) -> bool:
        """True for transposed convolutions."""
        return self.name.startswith("ConvTranspose")


_PADDING_TWICE = "_reversed_padding_repeated_twice"

_CONVOLUTION = (
    "in_channels",
    "out_channels",
    "kernel_size",
    "stride",
    "padding",
    "dilation",
    "transposed",
    "output_padding",
    "groups",
    "padding_mode",
    _PADDING_TWICE,
)

KINDS = (
    Kind("Conv1d", nn.Conv1d, 3, nnq.Conv1d, None, nni.ConvReLU1d, nniq.ConvReLU1d, _CONVOLUTION),
    Kind("Conv2d", nn.Conv2d, 4, nnq.Conv2d, None, nni.ConvReLU2d, nniq.ConvReLU2d, _CONVOLUTION),
    Kind("Conv3d", nn.Conv3d, 5, nnq.Conv3d, None, nni.ConvReLU3d, nniq.ConvReLU3d, _CONVOLUTION),
    Kind("ConvTranspose1d", nn.ConvTranspose1d, 3, nnq.ConvTranspose1d, settings=_CONVOLUTION, output_axis=1),
    Kind("ConvTranspose2d", nn.ConvTranspose2d, 4, nnq.ConvTranspose2d, settings=_CONVOLUTION, output_axis=1),
    Kind("ConvTranspose3d", nn.ConvTranspose3d, 5, nnq.ConvTranspose3d, settings=_CONVOLUTION, output_axis=1),
    Kind(
        "Linear",
        nn.Linear,
        None,
        nnq.Linear,
        nnqd.Linear,
        nni.LinearReLU,
        nniq.LinearReLU,
        ("in_features", "out_features"),
    ),
    Kind("LSTM", nn.LSTM, 3, None, nnqd.LSTM),
    Kind("GRU", nn.GRU, 3, None, nnqd.GRU),
    Kind("Embedding", nn.Embedding, None, None, nnq.Embedding),
)
"""Every kind."""


def kind_of(module: nn.Module) -> Kind | None:
    """The kind of a module; None for any other.

    A subclass counts when it computes what its base does: the same ``forward``, whatever holds its weights.
    """
    exact = next((kind for kind in KINDS if type(module) is kind.float_class), None)
    return exact or next((k for k in KINDS if k.settings and _computes_like(module, k.float_class)), None)


def obstacle(kind: Kind, module: nn.Module) -> str:
    """Why a module of this kind has no quantized form; empty when it has one."""
    if has_hooks(module):
        return "it has forward hooks, which a quantized module would lose"
    if kind.is_convolution:
        return _convolution_obstacle(kind, module)
    if isinstance(module, nn.RNNBase):
        if not module.bias:
            return f"a quantized {kind.name} needs biases"
        if module.proj_size:
            return "there is no quantized LSTM with projections"
    if isinstance(module, nn.Embedding) and module.max_norm is not None:
        return "it renormalizes its rows (max_norm) as they are used"
    return ""


def has_hooks(module: nn.Module) -> bool:
    """Whether someone listens to its calls."""
    return bool(module._forward_hooks or module._forward_pre_hooks)


def explicit_padding(module: Any) -> tuple[int, ...] | None:
    """A convolution's padding in numbers; None when it differs between the two sides."""
    if not isinstance(module.padding, str):
        return tuple(module.padding)
    if module.padding == "valid":
        return (0,) * len(module.kernel_size)
    totals = [d * (k - 1) for d, k in zip(module.dilation, module.kernel_size, strict=True)]
    return None if any(t % 2 for t in totals) else tuple(t // 2 for t in totals)


def plain_module(original: Any, kind: Kind) -> nn.Module:
    """A module of exactly the framework's class, with the settings and the very weights of a subclass."""
    if not kind.settings:
        plain: nn.Module = original
        return plain
    leaf: Any = object.__new__(kind.float_class)
    nn.Module.__init__(leaf)
    for name in kind.settings:
        value = getattr(original, name)
        setattr(leaf, name, tuple(value) if isinstance(value, list) and name != _PADDING_TWICE else value)
    if kind.is_convolution:
        padding = explicit_padding(original)
        leaf.padding = original.padding if padding is None else padding
    leaf.weight = _parameter(original.weight)
    leaf.register_parameter("bias", None if original.bias is None else _parameter(original.bias))
    made: nn.Module = leaf.eval()
    return made


def _parameter(tensor: Tensor) -> nn.Parameter:
    return tensor if isinstance(tensor, nn.Parameter) else nn.Parameter(tensor.detach().clone(), requires_grad=False)


def _convolution_obstacle(kind: Kind, module: Any) -> str:
    if module.padding_mode == "reflect" and kind.name in ("Conv1d", "Conv2d"):
        pass
    elif module.padding_mode != "zeros":
        return f"there is no quantized {kind.name} with padding mode '{module.padding_mode}'"
    if not kind.is_transposed:
        return "" if explicit_padding(module) is not None else "padding 'same' differs between its sides here"
    if any(module.output_padding):
        return "oneDNN has no quantized transposed convolution with output padding"
    # oneDNN mixes up the weights where channels in and out differ in number; missing outputs can be added.
    if module.out_channels > module.in_channels or (module.groups > 1 and module.out_channels != module.in_channels):
        return "oneDNN's quantized transposed convolution is wrong where it widens, or narrows in groups"
    return ""


def _computes_like(module: nn.Module, base: type[Any]) -> bool:
    if not isinstance(module, base):
        return False
    kind = type(module)
    return all(getattr(kind, name, None) is getattr(base, name, None) for name in ("forward", "_conv_forward"))
