"""Finding and naming the pictures in a scene."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from autoq.core.batch import Batch
from autoq.core.records import Records
from autoq.evaluation.metrics.detection import MeanAveragePrecision
from autoq.evaluation.postprocess.boxes import BoxDecoder
from examples.pytorch import detection, fashion_mnist, scenes
from examples.pytorch.training.loop import Phase

_SCENES = 5000
_LARGEST_FINE = 26.0
"""Longest side, in pixels, of the boxes that the finer level finds."""
_RADIUS = 1.5
"""Strides around a box's centre within which locations answer for it."""


@dataclass(frozen=True, eq=False)
class Targets:
    """What every location of all levels, concatenated, should say.

    Attributes:
        classes: ``[n, locations]``: class, or -1 for background.
        boxes: ``[n, locations, 4]``: x1, y1, x2, y2 of the box a location answers for.
        centerness: ``[n, locations]``: 1 in the middle of the box, 0 at its edges (Tian et al. 2019, equation 3).
    """

    classes: Tensor
    boxes: Tensor
    centerness: Tensor


def assign(boxes: list[NDArray[np.float32]], side: int) -> Targets:
    """Which location answers for which box; where several could, the one for the smallest box."""
    parts = [_assign_level(boxes, side, level) for level in detection.STRIDES]
    return Targets(
        torch.cat([p.classes for p in parts], 1),
        torch.cat([p.boxes for p in parts], 1),
        torch.cat([p.centerness for p in parts], 1),
    )


class SceneBoxes:
    """Focal loss for classes, GIoU loss for boxes, cross entropy for centerness."""

    def __init__(self, training: scenes.Scenes) -> None:
        self._images = torch.from_numpy(scenes.network_input(training.images))
        self._targets = assign(training.boxes, training.images.shape[-1])
        self.samples = len(self._images)

    def enter(self, phase: Phase) -> None:
        """All phases are alike."""

    def loss(self, model: nn.Module, chosen: Tensor) -> Tensor:
        """Sum of the three, each per answering location."""
        outputs = model(self._images[chosen].to(memory_format=torch.channels_last))
        target = Targets(self._targets.classes[chosen], self._targets.boxes[chosen], self._targets.centerness[chosen])
        logits = _gather(outputs, "classes")
        answering = target.classes >= 0
        count = answering.sum().clamp(min=1)
        wanted = nn.functional.one_hot(target.classes.clamp(min=0), logits.shape[2]) * answering[..., None]
        classes = _focal(logits, wanted.to(logits.dtype)).sum() / count
        weight = target.centerness[answering]
        overlap = _generalized_iou(_decoded(outputs)[answering], target.boxes[answering])
        boxes = ((1 - overlap) * weight).sum() / weight.sum().clamp(min=1e-6)
        centerness = nn.functional.binary_cross_entropy_with_logits(
            _gather(outputs, "centerness")[..., 0][answering], weight, reduction="sum"
        )
        return classes + boxes + centerness / count


def problem() -> SceneBoxes:
    """Scenes made of training pictures."""
    return SceneBoxes(scenes.make_scenes(fashion_mnist.read("train"), _SCENES, scenes.TRAINING_SEED))


def average_precision(model: nn.Module) -> float:
    """Mean average precision (COCO) over the test scenes, as a job measures it."""
    metric = MeanAveragePrecision("map")
    decoder = BoxDecoder(boxes="boxes", scores="scores")
    records = []
    with torch.no_grad():
        for images, boxes in scenes.labelled(batch_size=50):
            batch = Batch(images, boxes, len(images))
            outputs = {name: value.numpy() for name, value in model(torch.from_numpy(images)).items()}
            records.append(metric.records(decoder(detection.decode(outputs, batch), batch), batch))
    joined = Records.concatenate(records)
    return metric.score(joined, joined)


def _assign_level(boxes: list[NDArray[np.float32]], side: int, level: str) -> Targets:
    stride = detection.STRIDES[level]
    points = detection.locations(side // stride, side // stride, stride)
    classes = np.full((len(boxes), len(points)), -1, np.int64)
    wanted = np.zeros((len(boxes), len(points), 4), np.float32)
    wanted[..., 2:] = 1.0
    centerness = np.zeros((len(boxes), len(points)), np.float32)
    for i, found in enumerate(boxes):
        sides = (found[:, 2:4] - found[:, :2]).max(axis=1)
        mine = found[(sides <= _LARGEST_FINE) == (stride == min(detection.STRIDES.values()))]
        # The smallest box comes last and overwrites the others.
        for box in mine[np.argsort(-np.prod(mine[:, 2:4] - mine[:, :2], axis=1), kind="stable")]:
            edges = np.concatenate([points - box[:2], box[2:4] - points], axis=1)
            near = np.abs(points - (box[:2] + box[2:4]) / 2).max(axis=1) <= _RADIUS * stride
            inside = near & (edges.min(axis=1) > 0)
            classes[i, inside], wanted[i, inside] = int(box[4]), box[:4]
            centerness[i, inside] = _centerness(edges[inside])
    return Targets(torch.from_numpy(classes), torch.from_numpy(wanted), torch.from_numpy(centerness))


def _centerness(edges: NDArray[np.float64]) -> NDArray[np.float64]:
    pairs = np.stack([edges[:, 0::2], edges[:, 1::2]], axis=1)
    return np.asarray(np.sqrt((pairs.min(axis=2) / pairs.max(axis=2)).prod(axis=1)))


def _gather(outputs: dict[str, Tensor], part: str) -> Tensor:
    """``[n, locations, numbers]`` of all levels."""
    return torch.cat([outputs[f"{part}_{level}"].flatten(2).transpose(1, 2) for level in detection.STRIDES], dim=1)


def _decoded(outputs: dict[str, Tensor]) -> Tensor:
    parts = []
    for level, stride in detection.STRIDES.items():
        maps = outputs[f"boxes_{level}"]
        points = torch.from_numpy(detection.locations(*maps.shape[2:], stride)).to(maps.dtype)
        distances = maps.flatten(2).transpose(1, 2).clamp(max=4.0).exp() * stride
        parts.append(torch.cat([points - distances[..., :2], points + distances[..., 2:]], dim=-1))
    return torch.cat(parts, dim=1)


def _focal(logits: Tensor, wanted: Tensor) -> Tensor:
    """Lin et al. 2017, with gamma 2 and alpha .25."""
    entropy = nn.functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    probability = torch.sigmoid(logits)
    missed = wanted * (1 - probability) + (1 - wanted) * probability
    return (0.25 * wanted + 0.75 * (1 - wanted)) * missed**2 * entropy


def _generalized_iou(first: Tensor, second: Tensor) -> Tensor:
    """Rezatofighi et al. 2019; boxes ``[k, 4]`` pairwise in order."""
    common = (torch.minimum(first[:, 2:], second[:, 2:]) - torch.maximum(first[:, :2], second[:, :2])).clamp(min=0)
    hull = torch.maximum(first[:, 2:], second[:, 2:]) - torch.minimum(first[:, :2], second[:, :2])
    intersection, around = common.prod(1), hull.prod(1)
    union = (first[:, 2:] - first[:, :2]).prod(1) + (second[:, 2:] - second[:, :2]).prod(1) - intersection
    return intersection / union - (around - union) / around
