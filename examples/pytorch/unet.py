"""U-Net (Ronneberger et al. 2015) with transposed convolutions."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn


def _double(inputs: int, outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (inputs, outputs):
        layers += [nn.Conv2d(channels, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(True)]
    return nn.Sequential(*layers)


class UNet(nn.Module):
    """``[n, in_channels, height, width]`` to class scores per pixel ``[n, num_classes, height, width]``.

    Height and width are multiples of 2 to the number of widths minus one.
    """

    def __init__(self, num_classes: int, in_channels: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.stem = _double(in_channels, widths[0])
        pairs = list(pairwise(widths))
        self.pool = nn.ModuleList(nn.MaxPool2d(2) for _ in pairs)
        self.down = nn.ModuleList(_double(fine, coarse) for fine, coarse in pairs)
        self.up = nn.ModuleList(nn.ConvTranspose2d(coarse, fine, 2, stride=2) for fine, coarse in reversed(pairs))
        self.merge = nn.ModuleList(_double(2 * fine, fine) for fine, _ in reversed(pairs))
        self.head = nn.Conv2d(widths[0], num_classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        levels = [self.stem(image)]
        for pool, down in zip(self.pool, self.down, strict=True):
            levels.append(down(pool(levels[-1])))
        x = levels.pop()
        for up, merge in zip(self.up, self.merge, strict=True):
            x = merge(torch.cat([up(x), levels.pop()], dim=1))
        return self.head(x)


def unet(num_classes: int = 2, in_channels: int = 3, width: int = 16, levels: int = 4) -> UNet:
    """In evaluation mode, with random weights.

    Args:
        num_classes: Classes of a pixel.
        in_channels: Channels of the image.
        width: Channels of the finest level; each coarser one has twice as many.
        levels: Resolutions, at least 2.
    """
    return UNet(num_classes, in_channels, [width << level for level in range(levels)]).eval()
