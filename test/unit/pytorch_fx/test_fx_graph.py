"""Ops of a traced graph: ids, fusion, edges, calls."""

from __future__ import annotations

import pytest
import small_torch
import torch
from torch import Tensor, nn

from autoq.adaptors.pytorch.guard import guarded
from autoq.adaptors.pytorch.model import TorchModel, load
from autoq.adaptors.pytorch_fx.graph import FxGraph, graph_of
from autoq.adaptors.pytorch_fx.trace import traced
from autoq.core.adaptor import ModelSource


def loaded(module: nn.Module, *shape: int) -> TorchModel:
    return load(ModelSource(module.eval(), example=lambda: torch.randn(shape).numpy()))


def graph(module: nn.Module, *shape: int) -> FxGraph:
    model = loaded(module, *shape)
    with guarded():
        return graph_of(model)


def small(name: str) -> FxGraph:
    model = load(ModelSource(small_torch.FACTORIES[name](), example=lambda: small_torch.inputs_for(name)))
    with guarded():
        return graph_of(model)


def test_a_fused_convolution_goes_by_its_own_path() -> None:
    ids = {op.id: op.type for op in small("small_cnn").ops}
    assert ids["conv1"] == "Conv2d"
    assert not any("bn" in op or "relu" in op for op in ids)


def test_an_addition_goes_by_the_module_that_adds_and_takes_its_relu_along() -> None:
    op = small("small_cnn").by_id["layer1.0.add"]
    assert op.type == "Add"
    assert [len(member.nodes) for member in op.members] == [2]


def test_a_relu_function_is_fused_whatever_its_spelling() -> None:
    class Spelled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c = (nn.Linear(4, 4) for _ in range(3))

        def forward(self, x: Tensor) -> Tensor:
            return nn.functional.relu(self.c(self.b(torch.relu(self.a(x))).relu()))

    nodes = [n.op for n in graph(Spelled(), 2, 4).fused.graph.nodes]
    assert nodes == ["placeholder", "call_module", "call_module", "call_module", "output"]


def test_a_module_called_twice_is_one_op_with_two_calls() -> None:
    op = small("called_twice").by_id["again"]
    assert len(op.members) == 2


def test_edges_follow_the_residual() -> None:
    edges = small("small_cnn").edges
    assert ("conv1", "layer1.0.add") in edges
    assert ("layer1.0.pointwise", "layer1.0.add") in edges


def test_edges_pass_through_what_is_no_op() -> None:
    assert ("conv2", "fc") in small("small_cnn").edges


def test_dropout_is_gone() -> None:
    module = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5), nn.Linear(4, 2))
    assert [str(n.target) for n in graph(module, 2, 4).fused.graph.nodes if n.op == "call_module"] == ["0", "2"]


def test_optional_arguments_that_are_not_given_are_constants() -> None:
    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 4)

        def forward(self, x: Tensor, mask: Tensor | None = None, double: bool = False) -> Tensor:
            y = self.fc(x)
            if mask is not None:
                y = y * mask
            return 2 * y if double else y

    found = graph(Masked(), 2, 4)
    assert [op.id for op in found.ops] == ["fc"]
    assert [n.target for n in found.fused.graph.nodes if n.op == "placeholder"] == ["x"]


def test_the_users_module_stays_as_it_is() -> None:
    module = small_torch.small_cnn()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    model = load(ModelSource(module, example=lambda: small_torch.inputs_for("small_cnn")))
    with guarded():
        fused = graph_of(model).fused
        assert traced(model) is not fused
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())
    assert module.layer1[0].relu1 is not None
    assert not any(hasattr(child, "qconfig") for child in module.modules())


def test_functions_with_weights_of_the_module_are_ops() -> None:
    class Functional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(4, 4))

        def forward(self, x: Tensor) -> Tensor:
            return nn.functional.linear(nn.functional.linear(x, self.weight), self.weight.exp())

    first, second = graph(Functional(), 2, 4).ops
    assert (first.id, first.type, first.note) == ("linear", "Linear", "")
    assert second.note == "its weight is computed, not a parameter"


@pytest.mark.parametrize(
    ("module", "words"),
    [
        (nn.Conv2d(3, 3, 3, padding=1, padding_mode="circular"), "pads with 'circular'"),
        (nn.Conv2d(3, 3, 3, padding="same"), "padding given as a word"),
        (nn.ConvTranspose2d(3, 3, 3, stride=2, output_padding=1), "int8 kernel refuses it"),
    ],
)
def test_what_has_no_kernel_says_why(module: nn.Module, words: str) -> None:
    (op,) = graph(nn.Sequential(module), 2, 3, 8, 8).ops
    assert words in op.note


def test_a_layer_of_the_users_own_goes_by_its_path() -> None:
    class Scaled(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return nn.functional.linear(2 * x, self.weight, self.bias)

    found = {op.id: op.type for op in graph(nn.Sequential(Scaled(4, 4), nn.Linear(4, 2)), 2, 4).ops}
    assert found["0"] == "Linear"
    assert found["1"] == "Linear"
