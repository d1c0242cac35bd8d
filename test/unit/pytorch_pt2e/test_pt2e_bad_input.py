"""Models that cannot be taken, each with its message."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import small_torch
import torch
from pt2e import ADAPTOR, small
from torch import Tensor, nn

from autoq.adaptors.pytorch import usability
from autoq.core.adaptor import ModelSource, RunOptions
from autoq.core.batch import Batch
from autoq.core.capability import Recipe
from autoq.core.errors import AutoqError, DataError, ModelError, TrialError
from autoq.core.plan import FP32_PLAN, Plan
from autoq.core.precision import Mode

IMAGE = np.zeros((2, 3, 16, 16), np.float32)


def source(model: object, inputs: object = IMAGE) -> ModelSource:
    return ModelSource(model, example=lambda: inputs)  # type: ignore[arg-type,return-value]


def with_conv(change: Callable[[nn.Sequential], object]) -> nn.Sequential:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).eval()
    change(model)
    return model


def _make_complex(model: nn.Sequential) -> None:
    model[0].weight = nn.Parameter(model[0].weight.detach().to(torch.complex64))


class DataDependentShape(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x[x.sum(1) > 0])


@pytest.mark.parametrize(
    ("model", "where", "says"),
    [
        (with_conv(lambda m: m.half()), "0.weight", "float16"),
        (with_conv(_make_complex), "0.weight", "complex"),
        (with_conv(lambda m: m[1].train()), "1", "training mode"),
        (with_conv(lambda m: m.to("meta")), "0.weight", "meta device"),
    ],
    ids=["half", "complex", "training", "meta"],
)
def test_weights_and_modes(model: nn.Module, where: str, says: str) -> None:
    with pytest.raises(ModelError, match=says) as caught:
        ADAPTOR.load(source(model))
    assert caught.value.where == where


def test_control_flow_on_data_names_the_line() -> None:
    model, inputs = small_torch.untraceable(), small_torch.inputs_for("untraceable")
    with pytest.raises(ModelError, match="depends on the values") as caught:
        ADAPTOR.load(source(model, inputs))
    assert "small_torch.py" in str(caught.value.where)
    assert "if x.abs().mean() > 1" in str(caught.value.where)
    assert "pytorch_eager" in str(caught.value.hint)


def test_a_refused_model_leaves_nothing_on_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ModelError):
        ADAPTOR.load(source(small_torch.untraceable(), small_torch.inputs_for("untraceable")))
    assert capfd.readouterr() == ("", "")


def test_no_op_to_quantize() -> None:
    model = ADAPTOR.load(source(small_torch.no_quantizable(), small_torch.inputs_for("no_quantizable")))
    with pytest.raises(ModelError, match="nothing to quantize"):
        ADAPTOR.capabilities(model)


def test_torchscript_is_refused_with_the_way_out(tmp_path: Path) -> None:
    torch.jit.save(_traced(), tmp_path / "model.pt")
    with pytest.raises(ModelError, match="TorchScript") as caught:
        ADAPTOR.load(source(str(tmp_path / "model.pt")))
    assert "factory" in str(caught.value.hint)


def _traced() -> torch.jit.ScriptModule:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.trace(nn.Conv2d(3, 4, 3).eval(), torch.zeros(1, 3, 16, 16))


def test_shapes_that_depend_on_data_are_no_trouble_where_the_exporter_carries_them() -> None:
    module = DataDependentShape().eval()
    model = ADAPTOR.load(source(module, np.ones((2, 16), np.float32)))
    some = np.float32([[1] * 16, [-1] * 16, [2] * 16])
    found = ADAPTOR.apply(model, FP32_PLAN, None, RunOptions(threads=1)).predict(some)["output"]
    with torch.no_grad():
        np.testing.assert_allclose(found, module(torch.from_numpy(some)).numpy(), rtol=1e-5)


def test_another_image_size_is_refused() -> None:
    held = small("small_cnn")
    candidate = ADAPTOR.apply(held.model, FP32_PLAN, None, RunOptions(threads=1))
    with pytest.raises(DataError, match="3, 16, 16"):
        candidate.predict(np.zeros((2, 3, 20, 20), np.float32))


def test_batches_of_other_structure_are_refused() -> None:
    held = small("small_cnn")
    needs = ADAPTOR.needs(held.model, held.table)
    with pytest.raises(AutoqError):
        ADAPTOR.calibrate(held.model, [Batch([IMAGE, IMAGE], None, 2)], needs)


def test_nan_in_calibration_data_names_the_tensor() -> None:
    held = small("small_cnn")
    with pytest.raises(DataError, match="NaN"):
        ADAPTOR.calibrate(held.model, [Batch(IMAGE * np.nan, None, 2)], ADAPTOR.needs(held.model, held.table))


def test_no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usability, "compiler", lambda: None)
    with pytest.raises(ModelError, match=r"C\+\+ compiler"):
        ADAPTOR.load(source(small_torch.small_cnn()))


@pytest.mark.parametrize(
    ("op", "recipes", "says"),
    [
        (None, (Recipe("no_such"),), "no recipe"),
        ("fc", (Recipe("eager"),), "compiled only"),
        ("no_such_op", (), "no such op"),
        ("fc", (), "needs calibration"),
    ],
    ids=["recipe", "eager", "op", "calibration"],
)
def test_plans_that_cannot_be_built(op: str | None, recipes: tuple[Recipe, ...], says: str) -> None:
    held = small("small_cnn")
    plan = Plan({op: held.table["fc"].precisions[0]} if op else {}, recipes)
    with pytest.raises(TrialError, match=says):
        ADAPTOR.apply(held.model, plan, None, RunOptions(threads=1))


@pytest.mark.parametrize(("name", "op"), [("small_unet", "up"), ("small_lstm", "lstm")])
def test_ops_without_a_kernel_are_refused(name: str, op: str) -> None:
    held, linear = small(name), small("small_mlp").table["0"].precisions[0]
    with pytest.raises(TrialError, match="no static int8 kernel") as caught:
        ADAPTOR.apply(held.model, Plan({op: linear}), held.calibration, RunOptions(threads=1))
    assert caught.value.where == op


def test_dynamic_convolutions_are_refused() -> None:
    held = small("small_cnn")
    dynamic = next(p for p in small("small_mlp").table["0"].precisions if p.mode is Mode.DYNAMIC)
    with pytest.raises(TrialError, match="no dynamic int8 kernel"):
        ADAPTOR.apply(held.model, Plan({"conv1": dynamic}), held.calibration, RunOptions(threads=1))


@pytest.mark.parametrize(("kind", "shape"), [(nn.Conv1d, (2, 1, 8)), (nn.Conv2d, (2, 1, 8, 8))])
def test_a_convolution_of_one_channel_stays_float(kind: type[nn.Module], shape: tuple[int, ...]) -> None:
    """Compiled in 8 bits, it gives wrong results where another op reads them."""
    model = nn.Sequential(kind(1, 4, 3), nn.ReLU(), kind(4, 4, 3)).eval()
    table = ADAPTOR.capabilities(ADAPTOR.load(source(model, np.zeros(shape, np.float32))))
    assert "single channel" in table["0"].note
    assert not table["2"].precisions[0].is_float
