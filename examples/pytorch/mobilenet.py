"""MobileNetV2 (Sandler et al. 2018), with the parameter names that published ImageNet state dicts use."""

from __future__ import annotations

import torch
from torch import Tensor, nn

# Expansion, channels, blocks, stride of the first block.
_STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
_STEM, _LAST = 32, 1280


class ConvNormActivation(nn.Sequential):
    """Convolution, batch norm, ReLU6."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> None:
        padding = (kernel - 1) // 2
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU6(inplace=True),
        )


class InvertedResidual(nn.Module):
    """Expand, depthwise convolution, project without activation; a shortcut where shapes allow it."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        expand = [ConvNormActivation(inputs, hidden, kernel=1)] if expansion != 1 else []
        self.conv = nn.Sequential(
            *expand,
            ConvNormActivation(hidden, hidden, stride=stride, groups=hidden),
            nn.Conv2d(hidden, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.has_shortcut = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.has_shortcut else self.conv(x)


class MobileNetV2(nn.Module):
    """``[n, in_channels, height, width]`` to ``[n, num_classes]`` scores."""

    def __init__(self, num_classes: int, in_channels: int, dropout: float) -> None:
        super().__init__()
        features: list[nn.Module] = [ConvNormActivation(in_channels, _STEM, stride=2)]
        inputs = _STEM
        for expansion, outputs, blocks, stride in _STAGES:
            for position in range(blocks):
                features.append(InvertedResidual(inputs, outputs, stride if position == 0 else 1, expansion))
                inputs = outputs
        features.append(ConvNormActivation(inputs, _LAST, kernel=1))
        self.features = nn.Sequential(*features)
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(_LAST, num_classes))
        self._initialize()

    def forward(self, image: Tensor) -> Tensor:
        x = self.features(image)
        return self.classifier(torch.flatten(nn.functional.adaptive_avg_pool2d(x, 1), 1))

    def _initialize(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")
            elif isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, 0, 0.01)
                nn.init.zeros_(module.bias)
            elif isinstance(module, InvertedResidual) and module.has_shortcut:
                # Blocks start as identities (Goyal et al. 2017): the first steps learn much faster.
                nn.init.zeros_(module.conv[-1].weight)


def mobilenet_v2(num_classes: int = 1000, in_channels: int = 3, dropout: float = 0.2) -> MobileNetV2:
    """In evaluation mode, with random weights."""
    return MobileNetV2(num_classes, in_channels, dropout).eval()
