"""The float graph: folded and out of place, with the numbers of the model it was exported from."""

from __future__ import annotations

import copy

import pytest
import torch
from pt2e import small
from torch import Tensor, nn

from autoq.adaptors.pytorch_pt2e.graph import normalized, shared_copy
from autoq.adaptors.pytorch_pt2e.ops import find_ops

aten = torch.ops.aten


def graph_of(module: nn.Module, *inputs: Tensor) -> torch.fx.GraphModule:
    with torch.no_grad():
        return normalized(torch.export.export(module.eval(), inputs).module(check_guards=False))


def targets(graph: torch.fx.GraphModule) -> list[object]:
    return [node.target for node in graph.graph.nodes if node.op == "call_function"]


class SharedConvolution(nn.Module):
    """One convolution on two levels, each with a batch norm of its own, as detectors have it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.norms = nn.ModuleList(nn.BatchNorm2d(3) for _ in range(2))
        for norm in self.norms:
            nn.init.normal_(norm.running_mean)
            nn.init.uniform_(norm.running_var, 0.5, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.norms[0](self.conv(x)) + self.norms[1](self.conv(2 * x))


class ReadBeforeNorm(nn.Module):
    """The batch norm is not the only reader of the convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)
        self.norm = nn.BatchNorm2d(3)
        nn.init.normal_(self.norm.running_mean)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return self.norm(y) + y


class WritesIntoView(nn.Module):
    """ReLU writes into a tensor of which a view was taken before."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        flat = y.flatten(1)
        y.relu_()
        return flat


class ReadAfterWriting(nn.Module):
    """What ReLU wrote into is read by its old name."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        negative = y.abs()
        y.relu_()
        return y + negative


class LinearNorm(nn.Module):
    """A batch norm behind a linear, on two axes and on three."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 5)
        self.norm = nn.BatchNorm1d(5)
        nn.init.normal_(self.norm.running_mean)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.linear(x))


IMAGE = torch.linspace(-1, 1, 2 * 3 * 4 * 4).reshape(2, 3, 4, 4)


@pytest.mark.parametrize(
    ("module", "inputs"),
    [
        (SharedConvolution(), IMAGE),
        (ReadBeforeNorm(), IMAGE),
        (WritesIntoView(), IMAGE),
        (ReadAfterWriting(), IMAGE),
        (LinearNorm(), torch.linspace(-1, 1, 8).reshape(2, 4)),
        (LinearNorm(), torch.linspace(-1, 1, 40).reshape(2, 5, 4)),
        (nn.Sequential(nn.ConvTranspose2d(3, 4, 2, 2), nn.BatchNorm2d(4), nn.ReLU(inplace=True)), IMAGE),
        (nn.Sequential(nn.ConvTranspose2d(3, 6, 2, 2, groups=3), nn.BatchNorm2d(6)), IMAGE),
        (nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4, affine=False), nn.Dropout(), nn.ReLU6(True)), IMAGE),
        (nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 1)), IMAGE),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_numbers_stay_the_same(module: nn.Module, inputs: Tensor) -> None:
    graph = graph_of(module, inputs)
    with torch.no_grad():
        torch.testing.assert_close(graph(inputs), module.eval()(inputs), rtol=1e-5, atol=1e-5)


def test_norms_dropout_and_writing_in_place_are_gone() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Dropout(), nn.ReLU(inplace=True))
    assert targets(graph_of(module, IMAGE)) == [aten.conv2d.default, aten.relu.default]


def test_a_norm_that_cannot_be_folded_leaves_no_norm_for_later_steps() -> None:
    assert aten.batch_norm.default not in targets(graph_of(ReadBeforeNorm(), IMAGE))


def test_calls_of_one_module_have_weights_of_their_own() -> None:
    ops = find_ops(graph_of(SharedConvolution(), IMAGE)).ops
    assert len({op.weight for op in ops}) == len(ops) == 2


def test_the_model_is_left_alone() -> None:
    module = SharedConvolution().eval()
    before = copy.deepcopy(module.state_dict())
    graph_of(module, IMAGE)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_copies_share_tensors() -> None:
    graph = small("small_mlp").model.graph
    assert {t.data_ptr() for t in shared_copy(graph).state_dict().values()} == {
        t.data_ptr() for t in graph.state_dict().values()
    }
