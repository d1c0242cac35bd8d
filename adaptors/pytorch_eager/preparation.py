"""What is done to a copy of the user's model before its ops are looked for: everything that hides a plain module."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from autoq.adaptors.pytorch.model import TorchModel
from autoq.adaptors.pytorch_eager.kinds import KINDS, has_hooks, kind_of, plain_module

_CONVOLUTIONS: tuple[tuple[type[Any], Any], ...] = (
    (nn.Conv1d, nn.functional.conv1d),
    (nn.Conv2d, nn.functional.conv2d),
    (nn.Conv3d, nn.functional.conv3d),
)


class PaddedConvolution(nn.Module):  # type: ignore[misc]
    """A convolution with a layer in front of it that pads.

    Args:
        pad: The layer.
        conv: The convolution.
    """

    def __init__(self, pad: nn.Module, conv: nn.Module) -> None:
        super().__init__()
        self.pad = pad
        self.conv = conv

    def forward(self, x: Tensor) -> Tensor:
        """The convolution of the padded input."""
        result: Tensor = self.conv(self.pad(x))
        return result


def prepare(module: nn.Module, model: TorchModel) -> tuple[nn.Module, tuple[str, ...]]:
    """Uncover modules: computed weights become plain ones, convolutions that pad themselves become two modules.

    Encoder layers are made to call their children, which the framework's fused kernel for them does not.

    Args:
        module: A copy of the model's module; is changed.
        model: Gives the example.

    Returns:
        The module, and paths of what was changed; none when it runs just as before.
    """
    changed = [*_bake(module), *_without_fast_path(module), *_split_padding(module, model)]
    return module, tuple(changed)


def _bake(module: nn.Module) -> list[str]:
    """Modules with computed weights. The framework's own way to end that would change the class the user's share."""
    baked = []
    for path, child in list(module.named_modules()):
        kind = kind_of(child) if path and parametrize.is_parametrized(child) else None
        if kind is not None and kind.settings and not has_hooks(child):
            _put(module, child, plain_module(child, kind))
            baked.append(path)
    return baked


def _put(module: nn.Module, child: nn.Module, replacement: nn.Module) -> None:
    """Replace a module wherever it is a child."""
    for parent in list(module.modules()):
        for name, held in list(parent._modules.items()):
            if held is child:
                parent.register_module(name, replacement)


def _without_fast_path(module: nn.Module) -> list[str]:
    layers = []
    for path, child in module.named_modules():
        if isinstance(child, nn.TransformerEncoderLayer):
            child.activation_relu_or_gelu = 0
            layers.append(path)
        elif isinstance(child, nn.TransformerEncoder):
            child.enable_nested_tensor = child.use_nested_tensor = False
    return layers


def _split_padding(module: nn.Module, model: TorchModel) -> list[str]:
    """Take apart convolutions whose ``forward`` is their own, where pad and convolve is all it does."""
    found = {path: child for path, child in module.named_modules() if path and _pads_itself(child)}
    seen: dict[str, tuple[Tensor, Tensor]] = {}

    def seeing(path: str) -> Any:
        def hook(_: nn.Module, args: Any, result: Any) -> None:
            if len(args) == 1 and isinstance(result, Tensor):
                seen[path] = (args[0].clone(), result.clone())

        return hook

    if not found:
        return []
    handles = [child.register_forward_hook(seeing(path)) for path, child in found.items()]
    args, kwargs = model.example
    try:
        module(*(a.clone() for a in args), **{name: a.clone() for name, a in kwargs.items()})
    finally:
        for handle in handles:
            handle.remove()
    split = [path for path, child in found.items() if path in seen and _is_pad_and_convolve(child, *seen[path])]
    for path in split:
        _put(module, found[path], _taken_apart(found[path]))
    return split


def _pads_itself(module: nn.Module) -> bool:
    convolution = any(isinstance(module, kind) for kind, _ in _CONVOLUTIONS)
    children = list(module.children())
    return (
        convolution and kind_of(module) is None and len(children) == 1 and not any(True for _ in children[0].children())
    )


def _is_pad_and_convolve(module: Any, x: Tensor, expected: Tensor) -> bool:
    convolve = next(function for kind, function in _CONVOLUTIONS if isinstance(module, kind))
    pad = next(module.children())
    settings = (module.stride, module.padding, module.dilation, module.groups)
    try:
        found: Tensor = convolve(pad(x), module.weight, module.bias, *settings)
    except (RuntimeError, TypeError, ValueError):
        return False
    return bool(torch.equal(found, expected))


def _taken_apart(module: Any) -> nn.Module:
    name = next(kind.__name__ for kind, _ in _CONVOLUTIONS if isinstance(module, kind))
    conv = plain_module(module, next(kind for kind in KINDS if kind.name == name))
    padded: nn.Module = PaddedConvolution(next(module.children()), conv).eval()
    return padded
