"""What plans come to: which mode each op really runs in, and what is refused."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import small_torch
import torch
from torch import Tensor, nn

from autoq.adaptors.pytorch_fx.adaptor import FxAdaptor
from autoq.adaptors.pytorch_fx.realized import modes_of
from autoq.core.adaptor import ModelSource, RunOptions
from autoq.core.batch import Batch, Inputs
from autoq.core.capability import CapabilityTable, Recipe
from autoq.core.errors import TrialError, UnsupportedError
from autoq.core.plan import FP32_PLAN, Plan
from autoq.core.precision import FP32, Mode, Observer, OpPrecision, Scheme
from autoq.core.space import Space, SpaceRules

OPTIONS = RunOptions(threads=1)


class Fx:
    """A model in the adaptor's hands."""

    def __init__(self, module: nn.Module, batches: list[Batch]) -> None:
        self.adaptor = FxAdaptor()
        self.batches = batches
        self.model = self.adaptor.load(ModelSource(module.eval(), example=lambda: batches[0].inputs))
        self.table: CapabilityTable = self.adaptor.capabilities(self.model)
        needs = self.adaptor.needs(self.model, self.table)
        self.calibration = self.adaptor.calibrate(self.model, batches, needs)

    def apply(self, plan: Plan):
        return self.adaptor.apply(self.model, plan, self.calibration, OPTIONS)

    def full(self, mode: Mode = Mode.STATIC) -> Plan:
        return Space.of(self.table, SpaceRules(modes=(mode,))).full_plan()

    def precision(self, op: str, mode: Mode) -> OpPrecision:
        return next(p for p in self.table[op].precisions if p.mode is mode)

    def noise(self, plan: Plan) -> float:
        """Signal to noise in dB, of the worst output."""
        inputs = self.batches[0].inputs
        exact, found = self.apply(FP32_PLAN).predict(inputs), self.apply(plan).predict(inputs)
        return min(
            10 * float(np.log10(np.square(exact[k]).mean() / np.square(exact[k] - found[k]).mean())) for k in exact
        )


def small(name: str) -> Fx:
    return Fx(small_torch.FACTORIES[name](), small_torch.batches_for(name))


def images(module: nn.Module, channels: int = 8, side: int = 8) -> Fx:
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=(3, channels, side, side)).astype(np.float32) for _ in range(2)]
    return Fx(module, [Batch(array, None, 3) for array in arrays])


@pytest.fixture(scope="module")
def mlp() -> Fx:
    return small("small_mlp")


@pytest.mark.parametrize("modes", list(itertools.product(("static", "dynamic", "fp32"), repeat=3)))
def test_every_mix_of_modes_runs_as_asked(mlp: Fx, modes: tuple[str, ...]) -> None:
    asked = {op.id: Mode(mode) for op, mode in zip(mlp.table.ops, modes, strict=True)}
    plan = Plan({op: FP32 if mode is Mode.FP32 else mlp.precision(op, mode) for op, mode in asked.items()})
    candidate = mlp.apply(plan)
    assert candidate.realized == plan
    if plan.precisions:
        assert modes_of(candidate.native) == {op: {mode} for op, mode in asked.items()}


@pytest.mark.parametrize("name", ["small_cnn", "small_transformer", "small_unet", "small_detector", "called_twice"])
def test_full_static_plan_is_realized_and_accurate(name: str) -> None:
    fx = small(name)
    assert fx.apply(fx.full()).realized == fx.full()
    assert fx.noise(fx.full()) > 30


@pytest.mark.parametrize("name", ["small_lstm", "small_transformer"])
def test_full_dynamic_plan_is_realized_and_accurate(name: str) -> None:
    fx = small(name)
    assert fx.apply(fx.full(Mode.DYNAMIC)).realized == fx.full(Mode.DYNAMIC)
    assert fx.noise(fx.full(Mode.DYNAMIC)) > 30


def test_transformers_quantize_linear_layers_only() -> None:
    table = small("small_transformer").table
    assert {row.op.type for row in table if not row.precisions[0].is_float} == {"Linear"}
    note = next(row.note for row in table if row.op.type == "Add")
    assert "in a transformer" in note


@pytest.mark.parametrize("observer", list(Observer))
def test_every_observer_builds(observer: Observer) -> None:
    fx = small("small_cnn")
    plan = Plan(
        {
            row.op.id: next(p for p in row.precisions if p.activation and p.activation.observer is observer)
            for row in fx.table
        }
    )
    assert fx.apply(plan).realized == plan
    assert fx.noise(plan) > 20


def test_symmetric_activations_are_as_accurate_as_their_grid() -> None:
    fx = small("small_cnn")
    plan = Plan(
        {
            row.op.id: next(p for p in row.precisions if p.activation and p.activation.scheme is Scheme.SYM)
            for row in fx.table
        }
    )
    candidate = fx.apply(plan)
    assert candidate.realized == plan
    assert candidate.record["conv1"]["output"]["zero_point"] == 128
    assert fx.noise(plan) > 25


@pytest.mark.parametrize(
    "between",
    [nn.Hardswish(), nn.LeakyReLU(0.1), nn.BatchNorm2d(8), nn.ReLU6(), nn.MaxPool2d(2), nn.SiLU(), nn.Sigmoid()],
    ids=lambda module: type(module).__name__,
)
def test_what_stands_between_convolutions(between: nn.Module) -> None:
    torch.manual_seed(0)
    fx = images(nn.Sequential(nn.ReLU(), nn.Conv2d(8, 8, 3), between, nn.Conv2d(8, 8, 3)))
    assert fx.apply(fx.full()).realized == fx.full()
    assert fx.noise(fx.full()) > 25


def test_a_product_of_two_activations() -> None:
    class Gate(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.a(x) * self.b(x)

    torch.manual_seed(0)
    fx = images(Gate())
    assert "mul" in fx.full()
    assert fx.apply(fx.full()).realized == fx.full()
    assert fx.noise(fx.full()) > 25


def test_functional_linear_and_convolution() -> None:
    class Functional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.kernel, self.bias = nn.Parameter(torch.randn(8, 8, 3, 3) * 0.1), nn.Parameter(torch.randn(8))
            self.weight = nn.Parameter(torch.randn(5, 8) * 0.3)

        def forward(self, x: Tensor) -> Tensor:
            y = nn.functional.relu(nn.functional.conv2d(x, self.kernel, self.bias))
            return nn.functional.linear(y.mean((2, 3)), self.weight)

    torch.manual_seed(0)
    fx = images(Functional())
    assert list(fx.full()) == ["conv2d", "linear"]
    candidate = fx.apply(fx.full())
    assert candidate.realized == fx.full()
    assert len(candidate.record["conv2d"]["weight"]["scales"]) == 8
    assert fx.noise(fx.full()) > 25


@pytest.mark.parametrize(("inputs", "outputs"), [(16, 8), (8, 8), (32, 4)])
def test_transposed_convolutions_are_right_whatever_their_channels(inputs: int, outputs: int) -> None:
    torch.manual_seed(0)
    fx = images(nn.Sequential(nn.Conv2d(8, inputs, 1), nn.ConvTranspose2d(inputs, outputs, 2, stride=2)))
    assert "1" in fx.full()
    assert fx.apply(fx.full()).realized == fx.full()
    assert fx.noise(fx.full()) > 30


def test_a_transposed_kernel_that_is_wrong_is_not_offered() -> None:
    torch.manual_seed(0)
    table = images(nn.Sequential(nn.Conv2d(8, 8, 1), nn.ConvTranspose2d(8, 32, 2, stride=2))).table
    assert table["1"].precisions == (FP32,)
    assert "computes something else" in table["1"].note


def test_record_names_scales_of_inputs_outputs_and_weights() -> None:
    fx = small("small_cnn")
    record = fx.apply(fx.full()).record
    assert set(record) == set(fx.full())
    assert len(record["conv1"]["weight"]["scales"]) == 16
    assert record["layer1.0.add"]["input"][0] == record["layer1.0.pointwise"]["output"]
    assert record["layer1.0.depthwise"]["input"] == [record["conv1"]["output"]]


def test_an_op_the_model_does_not_have() -> None:
    fx = small("small_mlp")
    with pytest.raises(TrialError, match="no such op"):
        fx.apply(Plan({"nowhere": fx.precision("0", Mode.STATIC)}))


def test_a_static_plan_without_calibration_names_the_tensor() -> None:
    fx = small("small_mlp")
    with pytest.raises(TrialError, match="calibration did not see"):
        fx.adaptor.apply(fx.model, fx.full(), None, OPTIONS)


def test_int8_ops_take_no_recipes() -> None:
    fx = small("small_mlp")
    with pytest.raises(TrialError, match="take no recipe"):
        fx.apply(Plan(fx.full().precisions, (Recipe("bf16"),)))


def test_float_recipes_are_offered() -> None:
    assert (Recipe("bf16"),) in small("small_mlp").table.float_recipes


def test_a_foreign_candidate_cannot_be_saved(tmp_path: object) -> None:
    with pytest.raises(UnsupportedError, match="not a PyTorch candidate"):
        FxAdaptor().save(object(), tmp_path)  # type: ignore[arg-type]


def test_weights_are_shared_until_they_are_replaced() -> None:
    fx = small("small_mlp")
    before = [p.data_ptr() for p in fx.adaptor.graph(fx.model).fused.parameters()]
    values = [p.detach().clone() for p in fx.adaptor.graph(fx.model).fused.parameters()]
    fx.apply(fx.full()).predict(fx.batches[0].inputs)
    after = list(fx.adaptor.graph(fx.model).fused.parameters())
    assert [p.data_ptr() for p in after] == before
    assert all(torch.equal(p, v) for p, v in zip(after, values, strict=True))


def test_the_process_stays_as_it_was() -> None:
    engine, threads, state = torch.backends.quantized.engine, torch.get_num_threads(), torch.get_rng_state()
    numpy_state = np.random.get_state()[1].copy()
    fx = small("small_cnn")
    fx.apply(fx.full()).predict(fx.batches[0].inputs)
    assert torch.backends.quantized.engine == engine
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)
    assert np.array_equal(np.random.get_state()[1], numpy_state)
    assert torch.is_grad_enabled()


def test_data_that_break_the_model_name_the_place() -> None:
    fx = small("small_mlp")
    wrong: Inputs = np.zeros((4, 7), np.float32)
    with pytest.raises(Exception, match="0: the model fails on the calibration data"):
        fx.adaptor.calibrate(fx.model, [Batch(wrong, None, 4)], fx.adaptor.needs(fx.model, fx.table))


@torch.fx.wrap
def _times_size(x: Tensor, axis: int) -> Tensor:
    return x * float(x.shape[axis])


class _TimesSize(nn.Module):
    """Computes with a size in Python, which a trace would keep for good."""

    def __init__(self, axis: int) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 4)
        self.axis = axis

    def forward(self, x: Tensor) -> Tensor:
        return _times_size(self.linear(x), self.axis)


@pytest.mark.parametrize(("axis", "example", "other"), [(0, (1, 6), (4, 6)), (1, (2, 8, 6), (2, 5, 6))])
def test_other_sizes_than_the_example_are_computed_rightly(
    axis: int, example: tuple[int, ...], other: tuple[int, ...]
) -> None:
    rng = np.random.default_rng(0)
    given = Batch({"x": rng.standard_normal(example, dtype=np.float32)}, None, example[0])
    held = Fx(_TimesSize(axis), [given])
    candidate = held.apply(held.full())
    x = rng.standard_normal(other, dtype=np.float32)
    (found,) = candidate.predict({"x": x}).values()
    np.testing.assert_array_equal(found, candidate.native(torch.from_numpy(x)).numpy())


class _Branching(nn.Module):
    def __init__(self, between: nn.Module) -> None:
        super().__init__()
        self.first, self.between, self.second = nn.Conv2d(8, 8, 3), between, nn.Conv2d(8, 4, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = self.between(self.first(x))
        return self.second(y), torch.exp(-y)


@pytest.mark.parametrize(
    "between",
    [
        nn.Hardswish(),
        nn.LeakyReLU(),
        nn.ELU(),
        nn.PReLU(),
        nn.Sigmoid(),
        nn.Tanh(),
        nn.Softmax(1),
        nn.InstanceNorm2d(8),
    ],
    ids=lambda module: type(module).__name__,
)
def test_a_float_op_between_int8_ops_stays_float(between: nn.Module) -> None:
    """The framework would run it in int8, and hand int8 to the float op that reads it too."""
    held = images(_Branching(between))
    plan = Plan({op: held.precision(op, Mode.STATIC) for op in ("first", "second")})
    candidate = held.apply(plan)
    modes = modes_of(candidate.converted)
    assert {op: modes[op] for op in ("first", "between", "second")} == {
        "first": {Mode.STATIC},
        "between": {Mode.FP32},
        "second": {Mode.STATIC},
    }
    assert held.noise(plan) > 25
