"""Every example network as a factory that a job file can name, e.g. ``examples.pytorch.models:resnet18``.

Each takes keyword arguments only and returns the module in evaluation mode. Networks without weights of their own get
them through a job's ``model.weights``.
"""

from __future__ import annotations

from examples.efficientnet import efficientnet_lite0
from examples.pytorch.detector import detector
from examples.pytorch.lstm import lstm
from examples.pytorch.minilm import minilm, minilm_hf
from examples.pytorch.mobilenet import mobilenet_v2
from examples.pytorch.resnet import resnet18, resnet50
from examples.pytorch.unet import unet

__all__ = [
    "detector",
    "efficientnet_lite0",
    "lstm",
    "minilm",
    "minilm_hf",
    "mobilenet_v2",
    "resnet18",
    "resnet50",
    "unet",
]
