"""Ops of a graph: ids, fused patterns, edges."""

from __future__ import annotations

import torch
from pt2e import ADAPTOR, small
from torch import Tensor, nn

from autoq.adaptors.pytorch_pt2e.model import Pt2eModel
from autoq.adaptors.pytorch_pt2e.ops import GraphOp
from autoq.core.adaptor import ModelSource

IMAGE = torch.linspace(-1, 1, 2 * 3 * 8 * 8).reshape(2, 3, 8, 8).numpy()


def load(module: nn.Module, inputs: object = IMAGE) -> Pt2eModel:
    return ADAPTOR.load(ModelSource(module.eval(), example=lambda: inputs))  # type: ignore[arg-type,return-value]


def by_id(model: Pt2eModel) -> dict[str, GraphOp]:
    return dict(model.ops.by_id)


def test_ids_are_module_paths() -> None:
    assert [op.id for op in small("small_cnn").model.ops.ops] == [
        "conv1",
        "layer1.0.depthwise",
        "layer1.0.pointwise",
        "layer1.1.depthwise",
        "layer1.1.pointwise",
        "conv2",
        "pool",
        "fc",
    ]


def test_calls_of_one_module_are_numbered() -> None:
    assert [op.id for op in small("called_twice").model.ops.ops] == ["first", "again", "again@1", "fc"]


def test_functions_are_named_after_their_module_and_node() -> None:
    ops = by_id(small("small_unet").model)
    assert ops["cat"].type == "Concat"


def test_an_exported_program_has_the_ids_of_its_module(tmp_path: object) -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2)).eval()
    path = f"{tmp_path}/model.pt2"
    torch.export.save(torch.export.export(module, (torch.from_numpy(IMAGE),)), path)
    model = ADAPTOR.load(ModelSource(path, example=lambda: IMAGE))
    assert [op.id for op in model.ops.ops] == [op.id for op in load(module).ops.ops] == ["0", "4"]


def test_sum_and_activation_belong_to_the_convolution() -> None:
    op = by_id(small("small_cnn").model)["layer1.0.pointwise"]
    assert op.members == ("conv2d_2", "add", "relu_1")
    assert op.operands == ("relu", "relu_")


class Downsample(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.main = nn.Conv2d(3, 4, 1)
        self.shortcut = nn.Conv2d(3, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.main(x) + self.shortcut(x))


def test_of_two_convolutions_the_later_takes_the_sum_in() -> None:
    ops = by_id(load(Downsample()))
    assert len(ops["main"].members) == 1
    assert len(ops["shortcut"].members) == 3


class ReadTwice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = self.conv(x)
        return torch.relu(y), y


def test_what_others_read_is_not_fused_away() -> None:
    assert by_id(load(ReadTwice()))["conv"].members == ("conv2d",)


def test_edges_pass_through_other_nodes() -> None:
    edges = small("small_cnn").table.edges
    assert ("conv2", "pool") in edges
    assert ("pool", "fc") in edges
    assert ("conv1", "layer1.0.pointwise") in edges


def test_padding_by_name_is_told() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3, padding="same"), nn.Flatten(), nn.Linear(256, 2))
    row = ADAPTOR.capabilities(load(module))["0"]
    assert len(row.precisions) == 1
    assert "padding" in row.note


def test_recurrent_layers_are_rows_in_float_with_a_reason() -> None:
    row = small("small_lstm").table["lstm"]
    assert len(row.precisions) == 1
    assert "pytorch_eager" in row.note
