"""Models FX cannot carry: what is said, and where."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import small_torch
import torch
from torch import Tensor, nn

from autoq.adaptors.pytorch_fx.adaptor import FxAdaptor
from autoq.core.adaptor import ModelSource
from autoq.core.batch import Inputs
from autoq.core.errors import ModelError

X = np.random.default_rng(0).normal(size=(4, 16)).astype(np.float32)


def refused(module: object, inputs: Inputs = X) -> ModelError:
    adaptor = FxAdaptor()
    with pytest.raises(ModelError) as caught:
        adaptor.capabilities(adaptor.load(ModelSource(module, example=lambda: inputs)))
    return caught.value


def test_control_flow_that_depends_on_data_names_the_line_and_the_alternatives() -> None:
    error = refused(small_torch.untraceable())
    assert "symbolic tracing cannot carry this model" in error.message
    assert "small_torch.py" in error.message
    assert "if x.abs().mean() > 1" in error.message
    assert "pytorch_pt2e" in (error.hint or "")
    assert "pytorch_eager" in (error.hint or "")


def test_control_flow_inside_names_the_path_of_the_module() -> None:
    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Linear(16, 16)
            self.blocks = nn.ModuleList([small_torch.untraceable()])

        def forward(self, x: Tensor) -> Tensor:
            return self.blocks[0](self.stem(x))

    assert refused(Outer().eval()).where == "blocks.0"


def test_a_shape_that_depends_on_data() -> None:
    class Nonzero(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(16, 4)

        def forward(self, x: Tensor) -> Tensor:
            rows = [row for row in x if row.sum() > -1e9]
            return self.fc(torch.stack(rows))

    assert "symbolic tracing cannot carry" in refused(Nonzero().eval()).message


def test_a_way_that_depends_on_python_state_is_found_out() -> None:
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(16, 4)
            self.tracing = False

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(x) if isinstance(x, Tensor) else 2 * self.fc(x)

    error = refused(Counting().eval())
    assert "the traced graph computes another 'output'" in error.message


def test_a_module_without_anything_to_quantize() -> None:
    assert "finds nothing to quantize" in refused(small_torch.no_quantizable()).message


def test_activations_alone_are_not_worth_quantizing() -> None:
    class Adding(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x + torch.relu(x)

    assert "finds nothing to quantize" in refused(Adding().eval()).message


def test_an_exported_program_is_told_to_go_elsewhere(tmp_path: Path) -> None:
    path = tmp_path / "model.pt2"
    shapes = ({0: torch.export.Dim("batch")},)
    program = torch.export.export(small_torch.small_mlp(), (torch.randn(2, 16),), dynamic_shapes=shapes)
    torch.export.save(program, path)
    error = refused(str(path))
    assert "nothing to quantize in an exported program" in error.message
    assert "pytorch_pt2e" in (error.hint or "")


def test_torchscript_is_told_to_go_elsewhere() -> None:
    script = torch.jit.trace(small_torch.small_mlp(), torch.randn(2, 16))
    error = refused(script)
    assert "TorchScript" in error.message
    assert "pytorch_eager" in (error.hint or "")


def test_a_batch_norm_in_training_mode_is_named() -> None:
    module = small_torch.small_cnn()
    module.layer1[0].bn1.train()
    error = refused(module, small_torch.inputs_for("small_cnn"))
    assert error.where == "layer1.0.bn1"
    assert "training mode" in error.message


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: m.half(), "float16"),
        (lambda m: m.bfloat16(), "bfloat16"),
        (lambda m: m.to("meta"), "meta device"),
        (lambda m: m.to(torch.complex64), "complex"),
    ],
)
def test_weights_that_are_no_float32_numbers(change: Callable[[nn.Module], nn.Module], words: str) -> None:
    module = small_torch.small_mlp()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of complex modules
        changed = change(module)
    error = refused(changed)
    assert words in error.message
    assert error.where == "0.weight"


def test_tied_weights_stay_usable() -> None:
    adaptor = FxAdaptor()
    inputs = small_torch.inputs_for("shared_weights")
    model = adaptor.load(ModelSource(small_torch.shared_weights(), example=lambda: inputs))
    table = adaptor.capabilities(model)
    assert [row.op.id for row in table if not row.precisions[0].is_float] == ["hidden", "head"]
    assert "tied weights" in model.notes
