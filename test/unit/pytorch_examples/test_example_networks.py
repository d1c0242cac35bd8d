"""The networks of the examples are the published ones."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from examples import efficientnet
from examples.pytorch import models
from examples.pytorch.detection import STRIDES


def _parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(
    ("factory", "count"),
    [(models.resnet18, 11_689_512), (models.resnet50, 25_557_032), (models.mobilenet_v2, 3_504_872)],
)
def test_imagenet_networks_have_the_published_number_of_parameters(
    factory: Callable[[], nn.Module], count: int
) -> None:
    assert _parameters(factory()) == count


@pytest.mark.parametrize(
    ("factory", "names"),
    [
        (models.resnet18, ["conv1.weight", "layer2.0.downsample.1.running_var", "layer4.1.bn2.bias", "fc.bias"]),
        (models.resnet50, ["layer1.0.conv3.weight", "layer1.0.downsample.0.weight", "layer3.5.bn3.weight"]),
        (
            models.mobilenet_v2,
            ["features.0.0.weight", "features.1.conv.1.weight", "features.17.conv.3.running_mean", "classifier.1.bias"],
        ),
    ],
)
def test_parameters_are_called_as_in_published_state_dicts(factory: Callable[[], nn.Module], names: list[str]) -> None:
    assert set(names) <= set(factory().state_dict())


@pytest.mark.parametrize("factory", [models.resnet18, models.resnet50, models.mobilenet_v2])
def test_classifiers_give_one_score_per_class(factory: Callable[..., nn.Module]) -> None:
    with torch.no_grad():
        assert factory(num_classes=10, in_channels=1)(torch.zeros(2, 1, 32, 32)).shape == (2, 10)


@pytest.mark.parametrize(
    "factory", [models.resnet18, models.resnet50, models.mobilenet_v2, models.unet, models.lstm, models.detector]
)
def test_factories_return_evaluation_mode(factory: Callable[[], nn.Module]) -> None:
    assert not any(module.training for module in factory().modules())


@pytest.mark.parametrize(
    "factory", [models.resnet18, models.mobilenet_v2, models.unet, models.lstm, models.detector, models.minilm]
)
def test_networks_can_be_traced_symbolically(factory: Callable[[], nn.Module]) -> None:
    assert isinstance(torch.fx.symbolic_trace(factory()), torch.fx.GraphModule)


def test_the_unet_scores_every_pixel() -> None:
    model = models.unet(num_classes=11, in_channels=1, width=4, levels=2)
    with torch.no_grad():
        assert model(torch.zeros(2, 1, 16, 24)).shape == (2, 11, 16, 24)


def test_the_detector_gives_three_maps_per_level() -> None:
    with torch.no_grad():
        outputs = models.detector(num_classes=7)(torch.zeros(2, 1, 64, 96))
    shapes = {
        f"{part}_{level}": (2, depth, 64 // stride, 96 // stride)
        for level, stride in STRIDES.items()
        for part, depth in (("classes", 7), ("boxes", 4), ("centerness", 1))
    }
    assert {name: tuple(value.shape) for name, value in outputs.items()} == shapes


@pytest.mark.filterwarnings("ignore:.*:DeprecationWarning")
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_plain_and_transformers_minilm_agree(attention: str) -> None:
    ids = torch.arange(1000, 1027).reshape(3, 9)
    mask = torch.ones_like(ids)
    mask[1, 5:] = 0
    with torch.no_grad():
        plain = models.minilm()(ids, mask)
        other = models.minilm_hf(attention=attention)(input_ids=ids, attention_mask=mask).last_hidden_state
    assert torch.allclose(plain[mask.bool()], other[mask.bool()], atol=1e-5)


def test_efficientnet_of_plain_layers_computes_the_same() -> None:
    images = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected, found = efficientnet.published()(images), models.efficientnet_lite0()(images)
    assert torch.allclose(found, expected, atol=1e-4)


def test_efficientnet_s_convolutions_are_pytorch_s_own() -> None:
    kinds = {type(m) for m in models.efficientnet_lite0().modules() if isinstance(m, nn.Conv2d)}
    assert kinds == {nn.Conv2d}
