import pytest
import torch
from small_torch import inputs_for, small_cnn, small_detector, small_transformer
from torch import nn

from autoq.adaptors.pytorch.execution import OUTPUT, record
from autoq.adaptors.pytorch.model import load
from autoq.core.adaptor import ModelSource
from autoq.core.errors import ModelError


def loaded(name, factory):
    return load(ModelSource(factory(), example=lambda: inputs_for(name)))


def test_leaf_modules_are_listed_in_execution_order():
    class Backwards(nn.Module):
        def __init__(self):
            super().__init__()
            self.last = nn.Linear(4, 4)
            self.first = nn.Linear(4, 4)

        def forward(self, x):
            return self.last(self.first(x))

    _, execution = record(Backwards(), (torch.ones(2, 4),), {})
    assert execution.order == ("first", "last")


def test_calls_are_counted(called_twice):
    assert called_twice.calls == {"first": 1, "relu": 3, "again": 2, "fc": 1}


@pytest.fixture
def called_twice():
    import small_torch

    return loaded("called_twice", small_torch.called_twice)


def test_edges_of_modules_called_twice_run_forward_only(called_twice):
    assert called_twice.execution.edges(["first", "again", "fc"]) == (
        ("first", "again"),
        ("first", "fc"),
        ("again", "fc"),
    )


def test_edges_pass_through_modules_and_functions_that_are_not_ops():
    model = loaded("small_cnn", small_cnn)
    convolutions = [path for path in model.order if isinstance(model.module.get_submodule(path), nn.Conv2d)]
    edges = model.execution.edges([*convolutions, "fc"])
    assert ("layer1.0.depthwise", "layer1.0.pointwise") in edges
    assert ("conv1", "layer1.1.depthwise") in edges  # the residual connection of the first block
    assert ("conv2", "fc") in edges  # over a functional ReLU, a pool and flatten
    assert ("conv1", "fc") not in edges


def test_attention_joins_query_key_and_value():
    model = loaded("small_transformer", small_transformer)
    found = [a for a, b in model.execution.edges(model.order) if b == "layers.0.attention.output"]
    assert found == [f"layers.0.attention.{name}" for name in ("query", "key", "value")]


def takers(execution, path):
    """Who takes the very tensor that a module returns."""
    (made,) = (step.outputs for step in execution.steps if step.name == path)
    return [step.name for step in execution.steps if set(step.inputs) & set(made)]


def test_steps_tell_modules_functions_and_outputs_apart():
    detector = loaded("small_detector", small_detector).execution
    assert takers(detector, "stem.2") == ["down.0", "classes.0", "boxes.0"]
    assert takers(detector, "classes.0") == [OUTPUT]
    assert takers(loaded("small_cnn", small_cnn).execution, "conv2") == ["aten.relu.default"]


def test_an_in_place_function_ends_what_a_module_returned():
    class InPlace(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 1)
            self.norm = nn.BatchNorm2d(4)

        def forward(self, x):
            y = self.conv(x)
            y += 1
            return self.norm(y)

    _, execution = record(InPlace().eval(), (torch.ones(2, 3, 4, 4),), {})
    assert takers(execution, "conv") == ["aten.add_.Tensor"]
    assert execution.edges(["conv", "norm"]) == (("conv", "norm"),)


def test_a_failing_module_is_named_with_its_input():
    source = ModelSource(small_cnn(), example=lambda: inputs_for("small_mlp"))
    with pytest.raises(ModelError, match=r"conv1: the model fails on the example batch: RuntimeError") as caught:
        load(source)
    assert "float32 [4, 16]" in str(caught.value)


def test_recording_leaves_no_hooks():
    module = small_cnn()
    record(module, (torch.ones(2, 3, 16, 16),), {})
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in module.modules())


@pytest.mark.parametrize(
    ("looks", "seen"),
    [
        (lambda x: x.mean() > 0, True),
        (lambda x: x.sum().item() > 0, True),
        (lambda x: torch.equal(x, x), True),
        (lambda x: torch.allclose(x, x), True),
        (lambda x: 0.3 in x, True),
        (lambda x: x.shape[0] > 1, False),
    ],
)
def test_code_that_looks_at_values_is_found(looks, seen):
    class Looks(nn.Module):
        def forward(self, x):
            return x if looks(x) else x + 1

    assert record(Looks().eval(), (torch.ones(2, 4),), {})[1].reads_values is seen
