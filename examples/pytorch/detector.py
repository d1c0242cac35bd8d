"""A small one-stage detector without anchors (Tian et al. 2019, FCOS): residual backbone, FPN of two levels, heads.

Each level has heads of its own, as in YOLOX: no module is called twice.
"""

from __future__ import annotations

import math

from torch import Tensor, nn

from examples.pytorch.detection import STRIDES
from examples.pytorch.resnet import BasicBlock


def _conv(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(True)
    )


class Head(nn.Module):
    """Class logits, box regressions and centerness of one level."""

    def __init__(self, width: int, num_classes: int) -> None:
        super().__init__()
        self.class_tower = _conv(width, width)
        self.box_tower = _conv(width, width)
        self.classes = nn.Conv2d(width, num_classes, 3, padding=1)
        self.boxes = nn.Conv2d(width, 4, 3, padding=1)
        self.centerness = nn.Conv2d(width, 1, 3, padding=1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        regression = self.box_tower(x)
        return self.classes(self.class_tower(x)), self.boxes(regression), self.centerness(regression)


class Detector(nn.Module):
    """``[n, in_channels, height, width]`` to maps by name, see `forward`; sides are multiples of 16."""

    def __init__(self, num_classes: int, in_channels: int, width: int) -> None:
        super().__init__()
        self.stem = _conv(in_channels, 16, stride=2)
        self.stage1 = BasicBlock(16, 32, stride=2)
        self.stage2 = BasicBlock(32, 64, stride=2)
        self.stage3 = BasicBlock(64, 128, stride=2)
        self.lateral3 = nn.Conv2d(64, width, 1)
        self.lateral4 = nn.Conv2d(128, width, 1)
        self.upsample = nn.Upsample(scale_factor=2, mode="nearest")
        self.smooth3 = _conv(width, width)
        self.smooth4 = _conv(width, width)
        self.heads = nn.ModuleDict({level: Head(width, num_classes) for level in STRIDES})
        self._initialize()

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Per level (``p3``, ``p4``): ``classes_p3 [n, classes, h, w]``, ``boxes_p3 [n, 4, h, w]`` and
        ``centerness_p3 [n, 1, h, w]``, all before their activations."""
        fine = self.stage2(self.stage1(self.stem(image)))
        coarse = self.lateral4(self.stage3(fine))
        levels = {"p3": self.smooth3(self.lateral3(fine) + self.upsample(coarse)), "p4": self.smooth4(coarse)}
        outputs = {}
        for level, head in self.heads.items():
            classes, boxes, centerness = head(levels[level])
            outputs |= {f"classes_{level}": classes, f"boxes_{level}": boxes, f"centerness_{level}": centerness}
        return outputs

    def _initialize(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        for head in self.heads.values():
            for conv in (head.classes, head.boxes, head.centerness):
                nn.init.normal_(conv.weight, std=0.01)
                nn.init.zeros_(conv.bias)
            # Nearly every location is background: start by saying so (Lin et al. 2017, focal loss).
            nn.init.constant_(head.classes.bias, -math.log(99.0))
            # A box reaches about two strides to each side.
            nn.init.constant_(head.boxes.bias, math.log(2.0))


def detector(num_classes: int = 10, in_channels: int = 1, width: int = 64) -> Detector:
    """In evaluation mode, with random weights."""
    return Detector(num_classes, in_channels, width).eval()
