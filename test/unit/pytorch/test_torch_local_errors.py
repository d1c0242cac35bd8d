"""The error each PyTorch op makes by itself, against the formula and against the kernels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import process_state
import pytest
import small_torch
import torch
from torch import Tensor, nn

from autoq.adaptors.pytorch.guard import guarded
from autoq.adaptors.pytorch.rounding import dynamic_rounding, rounded_weight
from autoq.core.adaptor import ModelSource, RunOptions
from autoq.core.batch import Batch, Inputs
from autoq.core.errors import DataError, TrialError
from autoq.core.plan import Plan
from autoq.core.precision import DType, Granularity, Mode, OpPrecision, Scheme, TensorQuant
from autoq.core.registry import make_adaptor
from autoq.core.space import Space

ONE_THREAD = RunOptions(threads=1)
ROUTES = ("pytorch_eager", "pytorch_fx", "pytorch_pt2e")
PER_CHANNEL = TensorQuant(DType.INT8, Scheme.SYM, Granularity.PER_CHANNEL)
PER_TENSOR = TensorQuant(DType.INT8, Scheme.SYM)
U8 = TensorQuant(DType.UINT8, Scheme.ASYM)
STATIC = OpPrecision(Mode.STATIC, PER_CHANNEL, U8)
COARSE = OpPrecision(Mode.STATIC, PER_TENSOR, U8)
DYNAMIC = OpPrecision(Mode.DYNAMIC, PER_CHANNEL, U8)


def errors_of(framework: str, module: nn.Module, inputs: Sequence[Inputs], plan: Plan | None) -> dict[str, float]:
    """Local errors under a plan, or the full one, calibrated on the same batches."""
    adaptor: Any = make_adaptor(framework)
    model = adaptor.load(ModelSource(module, example=lambda: inputs[0]))
    table = adaptor.capabilities(model)
    batches = [Batch(given, None, 1) for given in inputs]
    calibration = adaptor.calibrate(model, batches, adaptor.needs(model, table))
    chosen = plan if plan is not None else Space.of(table).full_plan()
    return dict(adaptor.local_errors(model, chosen, calibration, batches, ONE_THREAD))


def of_small(framework: str, name: str, plan: Plan | None = None) -> dict[str, float]:
    inputs = [batch.inputs for batch in small_torch.batches_for(name)]
    return errors_of(framework, small_torch.FACTORIES[name](), inputs, plan)


def rows(seed: int, samples: int = 40) -> Any:
    return np.random.default_rng(seed).normal(size=(samples, 16)).astype(np.float32)


def relative(expected: Tensor, found: Tensor) -> float:
    return float((expected - found).square().sum() / expected.square().sum())


class Two(nn.Module):
    """Two layers, of which the first may be ruined."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.first, self.second = nn.Linear(16, 16), nn.Linear(16, 8)
        for parameter in self.parameters():
            nn.init.normal_(parameter, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(torch.relu(self.first(x)))


@pytest.mark.parametrize("framework", ROUTES)
@pytest.mark.parametrize("precision", [STATIC, DYNAMIC])
def test_error_is_that_of_rounded_operands_and_weights(framework: str, precision: OpPrecision) -> None:
    """Native static kernels also round what they give; native dynamic ones read seven bits."""
    native = framework != "pytorch_pt2e"
    module, x = Two().eval(), rows(0)
    found = errors_of(framework, module, [x], Plan({"second": precision}))
    with torch.no_grad(), guarded():
        read = torch.relu(module.first(torch.from_numpy(x)))
        expected = module.second(read)
        weight = rounded_weight(module.second.weight, PER_CHANNEL)
        got = nn.functional.linear(
            dynamic_rounding(read, 127 if native and precision is DYNAMIC else 255), weight, module.second.bias
        )
        if precision is STATIC and native:
            got = dynamic_rounding(got)
    assert found == {"second": pytest.approx(relative(expected, got), rel=0.05)}


@pytest.mark.parametrize("name", ["small_cnn", "small_unet", "small_mlp"])
def test_simulation_is_as_far_off_as_the_kernels(name: str) -> None:
    """FX simulates what eager runs."""
    kernels, simulated = of_small("pytorch_eager", name), of_small("pytorch_fx", name)
    shared = set(kernels) & set(simulated)
    assert len(shared) >= 3
    assert {op: simulated[op] for op in shared} == pytest.approx({op: kernels[op] for op in shared}, rel=0.1)


@pytest.mark.parametrize("framework", ["pytorch_eager", "pytorch_fx"])
def test_one_huge_channel_hurts_the_others_per_tensor_only(framework: str) -> None:
    module, x = Two().eval(), rows(1)
    with torch.no_grad():
        module.first.weight[0, 5] = 1e4
    x[:, 5] = 0  # the huge weight meets nothing: the output is that of the others
    coarse, fine = (errors_of(framework, module, [x], Plan({"first": p}))["first"] for p in (COARSE, STATIC))
    assert coarse > 0.5
    assert fine < 0.3


@pytest.mark.parametrize("framework", ["pytorch_eager", "pytorch_fx"])
def test_errors_of_one_op_reach_no_other(framework: str) -> None:
    module, x = Two().eval(), rows(1)
    with torch.no_grad():
        module.first.weight[0, 5] = 1e4
    x[:, 5] = 0
    alone = errors_of(framework, module, [x], Plan({"second": STATIC}))
    both = errors_of(framework, module, [x], Plan({"first": COARSE, "second": STATIC}))
    assert both["first"] > 0.5
    assert both["second"] == pytest.approx(alone["second"])


@pytest.mark.parametrize("framework", ROUTES)
def test_fused_sums_and_activations_are_part_of_an_op(framework: str) -> None:
    """Every quantized op of a residual network is compared behind what ends it."""
    found = of_small(framework, "small_cnn")
    assert {"conv1", "layer1.0.depthwise", "layer1.0.pointwise", "layer1.1.pointwise", "conv2", "fc"} <= set(found)
    assert all(1e-7 < error < 1e-3 for error in found.values())


def test_calls_of_one_module_are_added_up() -> None:
    found = of_small("pytorch_eager", "called_twice", Plan({"again": STATIC}))
    assert 1e-6 < found["again"] < 1e-2


@pytest.mark.parametrize("name", ["small_lstm", "small_transformer"])
def test_recurrent_layers_and_embeddings_are_compared(name: str) -> None:
    found = of_small("pytorch_eager", name)
    assert {"small_lstm": "lstm", "small_transformer": "words"}[name] in found
    assert all(0 < error < 1e-2 for error in found.values())


@pytest.mark.parametrize("framework", ROUTES)
def test_models_that_write_into_their_tensors_keep_their_answers(framework: str) -> None:
    """The twin reads what the op reads before the op, or what follows it, writes into it."""

    class Writing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(16, 16)

        def forward(self, x: Tensor) -> Tensor:
            y = self.layer(x)
            y += x
            return nn.functional.relu(y, inplace=True)

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = Writing().eval()
    found = errors_of(framework, module, [rows(0)], Plan({"layer": STATIC}))
    assert 1e-7 < found["layer"] < 1e-3


@pytest.mark.parametrize("framework", ROUTES)
def test_process_and_module_stay_as_they_were(framework: str) -> None:
    module, x = small_torch.small_cnn(), small_torch.inputs_for("small_cnn")
    adaptor: Any = make_adaptor(framework)
    model = adaptor.load(ModelSource(module, example=lambda: x))
    table, batches = adaptor.capabilities(model), [Batch(x, None, len(x))]
    calibration = adaptor.calibrate(model, batches, adaptor.needs(model, table))
    before = process_state.process_state(), process_state.model_state(module), x.copy()
    adaptor.local_errors(model, Space.of(table).full_plan(), calibration, batches, ONE_THREAD)
    assert (process_state.process_state(), process_state.model_state(module)) == before[:2]
    np.testing.assert_array_equal(x, before[2])


@pytest.mark.parametrize("framework", ROUTES)
def test_data_that_do_not_fit_are_told(framework: str) -> None:
    adaptor: Any = make_adaptor(framework)
    model = adaptor.load(ModelSource(small_torch.small_mlp(), example=lambda: rows(0)))
    good, bad = Batch(rows(0), None, 40), Batch(np.zeros((2, 5), np.float32), None, 2)
    calibration = adaptor.calibrate(model, [good], adaptor.needs(model, adaptor.capabilities(model)))
    with pytest.raises(DataError):
        adaptor.local_errors(model, Plan({"0": STATIC}), calibration, [bad], ONE_THREAD)


@pytest.mark.parametrize("framework", ROUTES)
def test_static_ops_need_calibration(framework: str) -> None:
    adaptor: Any = make_adaptor(framework)
    model = adaptor.load(ModelSource(small_torch.small_mlp(), example=lambda: rows(0)))
    with pytest.raises(TrialError):
        adaptor.local_errors(model, Plan({"0": STATIC}), None, [Batch(rows(0), None, 40)], ONE_THREAD)
