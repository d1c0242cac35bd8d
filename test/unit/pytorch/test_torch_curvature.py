"""Curvature by Hutchinson's estimate, against exact traces and against what rounding really does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import process_state
import pytest
import small_torch
import torch
from torch import Tensor, nn

from autoq.adaptors.pytorch.curvature import RoundedWeight, output_curvature
from autoq.core.adaptor import ModelSource, RunOptions
from autoq.core.batch import Batch
from autoq.core.errors import DataError, TrialError, UnsupportedError
from autoq.core.plan import Plan
from autoq.core.precision import DType, Granularity, Mode, OpPrecision, Scheme, TensorQuant
from autoq.core.registry import make_adaptor
from autoq.core.space import Space

ONE_THREAD = RunOptions(threads=1)
ROUTES = ("pytorch_eager", "pytorch_fx", "pytorch_pt2e")
INT8 = OpPrecision(
    Mode.STATIC, TensorQuant(DType.INT8, Scheme.SYM, Granularity.PER_CHANNEL), TensorQuant(DType.UINT8, Scheme.ASYM)
)


def leaf(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).requires_grad_(True)


def perturbed(op_id: str, weight: Tensor, seed: int, size: float = 1e-3) -> RoundedWeight:
    noise = torch.randn(weight.shape, generator=torch.Generator().manual_seed(seed))
    return RoundedWeight(op_id, weight, weight.detach() + size * noise)


def estimate(
    weights: Sequence[RoundedWeight], *runs: Callable[[], Sequence[Tensor]], seed: int = 0, draws: int = 400
) -> dict[str, float]:
    return dict(output_curvature(weights, runs, seed=seed, draws=draws, threads=1))


def exact(entry: RoundedWeight, run: Callable[[], Tensor]) -> float:
    """From the whole Jacobian of the output with respect to a weight."""
    with torch.enable_grad():
        output = run()
        rows = [torch.autograd.grad(value, entry.weight, retain_graph=True)[0] for value in output.reshape(-1)]
    trace = float(torch.stack(rows).square().sum() / output.detach().square().sum())
    return trace / entry.weight.numel() * float((entry.rounded - entry.weight.detach()).square().sum())


@pytest.mark.parametrize("seed", range(3))
def test_trace_of_linear_layers_in_closed_form(seed: int) -> None:
    """``f = x Aᵀ Bᵀ``: the Jacobian's squared norm is ``‖B‖² ‖x‖²`` for A, and ``out · ‖x Aᵀ‖²`` for B."""
    a, b, x = leaf(6, 8, seed=1), leaf(4, 6, seed=2), leaf(10, 8, seed=3).detach()
    weights = [perturbed("a", a, 4), perturbed("b", b, 5)]
    with torch.no_grad():
        size = (x @ a.T @ b.T).square().sum()
        traces = {"a": b.square().sum() * x.square().sum() / size, "b": 4 * (x @ a.T).square().sum() / size}
    found = estimate(weights, lambda: [x @ a.T @ b.T], seed=seed)
    for entry in weights:
        change = float((entry.rounded - entry.weight).detach().square().sum())
        expected = float(traces[entry.op_id]) / entry.weight.numel() * change
        assert found[entry.op_id] == pytest.approx(expected, rel=0.05)


def test_trace_of_a_nonlinear_network() -> None:
    a, b, x = leaf(6, 8, seed=1), leaf(4, 6, seed=2), leaf(10, 8, seed=3).detach()
    weights = [perturbed("a", a, 4), perturbed("b", b, 5)]

    def run() -> Tensor:
        return torch.tanh(x @ a.T) @ b.T

    found = estimate(weights, lambda: [run()])
    assert found == pytest.approx({w.op_id: exact(w, run) for w in weights}, rel=0.05)


def test_batches_add_up() -> None:
    """Cut into batches, the same samples have the same curvature."""
    a, x = leaf(6, 8, seed=1), leaf(30, 8, seed=3).detach()
    a_only = [perturbed("a", a, 4)]
    whole = estimate(a_only, lambda: [torch.relu(x @ a.T)], draws=200)
    parts = estimate(a_only, *(lambda part=part: [torch.relu(part @ a.T)] for part in x.split(15)), draws=200)
    assert parts == pytest.approx(whole, rel=0.08)


def test_it_predicts_what_a_random_perturbation_does() -> None:
    a, b, x = leaf(16, 24, seed=1), leaf(12, 16, seed=2), leaf(64, 24, seed=3).detach()

    def run(first: Tensor, second: Tensor) -> Tensor:
        return torch.relu(x @ first.T) @ second.T

    weights = [perturbed("a", a, 4), perturbed("b", b, 5)]
    found = estimate(weights, lambda: [run(a, b)], draws=50)
    with torch.no_grad():
        before = run(a, b)
        after = {"a": run(weights[0].rounded, b), "b": run(a, weights[1].rounded)}
    for op_id, output in after.items():
        assert found[op_id] == pytest.approx(float((output - before).square().sum() / before.square().sum()), rel=0.35)


def test_outputs_count_alike_whatever_their_size() -> None:
    a, b, x = leaf(6, 8, seed=1), leaf(6, 8, seed=2), leaf(10, 8, seed=3).detach()
    weights = [perturbed("a", a, 4), perturbed("b", b, 4)]
    small, large = estimate(weights, lambda: [1e-3 * x @ a.T, 1e3 * x @ b.T]), exact(weights[0], lambda: x @ a.T)
    assert small["a"] == pytest.approx(large / 2, rel=0.05)  # the average over two outputs, of which it changes one
    assert small["b"] == pytest.approx(exact(weights[1], lambda: x @ b.T) / 2, rel=0.05)


def test_weights_of_one_op_are_added_up() -> None:
    a, b, x = leaf(6, 8, seed=1), leaf(4, 6, seed=2), leaf(10, 8, seed=3).detach()
    apart = estimate([perturbed("a", a, 4), perturbed("b", b, 5)], lambda: [x @ a.T @ b.T])
    together = estimate([perturbed("op", a, 4), perturbed("op", b, 5)], lambda: [x @ a.T @ b.T])
    assert together["op"] == pytest.approx(apart["a"] + apart["b"])


def test_ops_without_a_way_to_the_output_are_missing() -> None:
    a, b, x = leaf(6, 8, seed=1), leaf(6, 8, seed=2), leaf(10, 8, seed=3).detach()
    weights = [perturbed("a", a, 4), perturbed("b", b, 5)]
    assert set(estimate(weights, lambda: [x @ a.T, (x @ b.T).argmax(1)], draws=2)) == {"a"}


@pytest.mark.parametrize("output", [lambda y: y.argmax(1), lambda y: y.argmax(1).float() + 1, lambda y: y.detach()])
def test_models_without_derivatives_are_refused(output: Callable[[Tensor], Tensor]) -> None:
    a, x = leaf(6, 8, seed=1), leaf(10, 8, seed=3).detach()
    with pytest.raises(UnsupportedError, match="output"):
        estimate([perturbed("a", a, 4)], lambda: [output(x @ a.T)], draws=1)


def test_models_that_write_into_their_tensors_are_differentiated() -> None:
    a, x = leaf(6, 8, seed=1), leaf(10, 8, seed=3).detach()

    def run() -> Tensor:
        y = torch.sigmoid(x @ a.T)
        return y.mul_(y)  # overwrites what its own derivative needs

    entry = perturbed("a", a, 4)
    assert estimate([entry], lambda: [run()])["a"] == pytest.approx(
        exact(entry, lambda: torch.sigmoid(x @ a.T) ** 2), rel=0.05
    )


# -- on models -------------------------------------------------------------------------------------------------


def curvature(framework: str, module: nn.Module, name: str, draws: int = 8, plan: Plan | None = None) -> dict[str, Any]:
    adaptor = make_adaptor(framework)
    model = adaptor.load(ModelSource(module, example=lambda: small_torch.inputs_for(name)))
    plan = plan or Space.of(adaptor.capabilities(model)).full_plan()
    batches = small_torch.batches_for(name)
    return dict(adaptor.curvature(model, plan, batches, seed=0, draws=draws, options=ONE_THREAD))


def test_routes_agree() -> None:
    """They differ in how they see the model, not in the model."""
    found = [curvature(route, small_torch.small_mlp(), "small_mlp") for route in ROUTES]
    assert found[1] == pytest.approx(found[0], rel=1e-3)
    assert found[2] == pytest.approx(found[0], rel=1e-3)


@pytest.mark.parametrize("framework", ROUTES)
def test_process_and_module_stay_as_they_were(framework: str) -> None:
    module = small_torch.small_cnn()
    adaptor = make_adaptor(framework)
    model = adaptor.load(ModelSource(module, example=lambda: small_torch.inputs_for("small_cnn")))
    plan = Space.of(adaptor.capabilities(model)).full_plan()
    before = process_state.process_state(), process_state.model_state(module)
    adaptor.curvature(model, plan, small_torch.batches_for("small_cnn"), seed=0, draws=1, options=ONE_THREAD)
    assert (process_state.process_state(), process_state.model_state(module)) == before
    assert all(parameter.grad is None for parameter in module.parameters())


@pytest.mark.parametrize("framework", ROUTES)
def test_tied_weights_are_rounded_apart(framework: str) -> None:
    """The output layer's number does not count what its weight does as an embedding."""
    module = small_torch.shared_weights()
    tokens = [torch.from_numpy(np.asarray(batch.inputs)) for batch in small_torch.batches_for("shared_weights")]
    found = curvature(framework, module, "shared_weights", draws=60)
    head = module.head.weight.detach()
    with torch.no_grad():
        states = torch.cat([torch.relu(module.hidden(module.words(t))).reshape(-1, 16) for t in tokens])
        size = float((states @ head.T).square().sum())
        scale = head.abs().amax(1, keepdim=True) / 127.5
        change = float((torch.clamp(torch.round(head / scale), -128, 127) * scale - head).square().sum())
    assert found["head"] == pytest.approx(
        len(head) * float(states.square().sum()) / size / head.numel() * change, rel=0.1
    )


@pytest.mark.parametrize("framework", ["pytorch_eager", "pytorch_fx"])
def test_coarser_weights_count_more(framework: str) -> None:
    """One huge output channel spoils the grid of all others, where they share one."""
    module = small_torch.small_mlp()
    with torch.no_grad():
        module[2].weight[0] *= 200
    coarse = OpPrecision(Mode.STATIC, TensorQuant(DType.INT8, Scheme.SYM), INT8.activation)
    per_tensor, per_channel = (
        curvature(framework, module, "small_mlp", plan=Plan({"2": precision}))["2"] for precision in (coarse, INT8)
    )
    assert per_tensor > 2 * per_channel


@pytest.mark.parametrize("framework", ROUTES)
def test_unknown_ops_are_told(framework: str) -> None:
    with pytest.raises(TrialError, match=r"no such op|does not have"):
        curvature(framework, small_torch.small_mlp(), "small_mlp", plan=Plan({"nowhere": INT8}))


@pytest.mark.parametrize("framework", ROUTES)
def test_data_that_do_not_fit_are_told(framework: str) -> None:
    adaptor = make_adaptor(framework)
    module = small_torch.small_mlp()
    model = adaptor.load(ModelSource(module, example=lambda: small_torch.inputs_for("small_mlp")))
    wrong = [Batch(np.zeros((2, 5), np.float32), None, 2)]
    with pytest.raises(DataError):
        adaptor.curvature(model, Plan({"0": INT8}), wrong, seed=0, draws=1, options=ONE_THREAD)
