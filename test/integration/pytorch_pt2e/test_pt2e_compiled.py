"""What the compiler makes of a plan: kernels for every op, outputs of the reference, a true account of what runs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pt2e import ADAPTOR, Loaded, loaded
from torch import Tensor, nn

from autoq.adaptors.pytorch_pt2e import candidate as candidates
from autoq.adaptors.pytorch_pt2e.candidate import GraphCandidate
from autoq.adaptors.pytorch_pt2e.deploy import Deployed
from autoq.core.adaptor import ModelSource, RunOptions
from autoq.core.batch import Batch
from autoq.core.capability import Recipe
from autoq.core.plan import Plan
from autoq.core.space import Space

OPTIONS = RunOptions(threads=1)


class Everything(nn.Module):
    """Every kind of op and fused activation, grouped, depthwise and called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.grouped = nn.Conv2d(8, 16, 1, groups=2)
        self.dilated = nn.Conv2d(16, 16, 3, padding=2, dilation=2)
        self.again = nn.Conv2d(16, 16, 3, padding=1)
        self.merge = nn.Conv2d(32, 16, 1)
        self.line = nn.Conv1d(16, 16, 3, padding=1)
        self.wide = nn.Linear(16, 32)
        self.back = nn.Linear(32, 16)
        self.head = nn.Linear(16, 5)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.hardswish(self.stem(x))
        x = nn.functional.relu6(self.depthwise(x))
        x = nn.functional.max_pool2d(nn.functional.silu(self.grouped(x)), 2)
        y = nn.functional.hardtanh(self.dilated(x))
        z = self.relu(self.again(y) + y)
        z = self.relu(self.again(3 * z))
        z = nn.functional.avg_pool2d(self.relu(self.merge(torch.cat([y, z], 1))), 2)
        z = self.relu(self.line(z.flatten(2))).mean(2)
        z = self.back(nn.functional.gelu(self.wide(z))) + z
        return self.head(torch.tanh(z))


@pytest.fixture(scope="module")
def held() -> Loaded:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = Everything().eval()
    inputs = [np.random.default_rng(i).normal(size=(3, 3, 16, 16)).astype(np.float32) for i in range(3)]
    return loaded(ModelSource(module, example=lambda: inputs[0]), [Batch(x, None, 3) for x in inputs])


@pytest.fixture(scope="module")
def full(held: Loaded) -> GraphCandidate:
    plan = Space.of(held.table).full_plan()
    found = ADAPTOR.apply(held.model, plan, held.calibration, OPTIONS)
    assert isinstance(found, GraphCandidate)
    assert found.realized == plan
    return found


def test_the_compiler_makes_a_kernel_for_every_op(full: GraphCandidate) -> None:
    assert full.compiled().realized == full.realized


@pytest.mark.parametrize("samples", [1, 2, 7])
def test_the_compiled_form_answers_like_the_reference_for_any_batch(full: GraphCandidate, samples: int) -> None:
    inputs = np.random.default_rng(9).normal(size=(samples, 3, 16, 16)).astype(np.float32)
    want, found = full.predict(inputs)["output"], full.compiled().predict(inputs)["output"]
    assert np.abs(found - want).max() <= 0.02 * np.abs(want).max()


def test_a_lost_kernel_is_told(held: Loaded, full: GraphCandidate, monkeypatch: pytest.MonkeyPatch) -> None:
    without_kernels = Deployed(full.compiled().package, ())
    monkeypatch.setattr(candidates, "compile_graph", lambda *_, **__: without_kernels)
    again = ADAPTOR.apply(held.model, Plan({"stem": full.plan["stem"]}), held.calibration, OPTIONS)
    assert isinstance(again, GraphCandidate)
    compiled = again.compiled()
    assert "stem" in again.realized
    assert "stem" not in compiled.realized
    assert "stem" in compiled.notes[-1]


def test_a_mixed_plan_in_bfloat16_keeps_its_kernels(held: Loaded, full: GraphCandidate) -> None:
    some = Plan({op: full.plan[op] for op in list(full.plan)[::2]}, (Recipe("bf16"),))
    candidate = ADAPTOR.apply(held.model, some, held.calibration, OPTIONS)
    assert isinstance(candidate, GraphCandidate)
    compiled = candidate.compiled()
    weighted = {op for op in candidate.realized if held.model.ops.by_id[op].weight is not None}
    assert weighted <= set(compiled.realized)
    inputs = held.batches[0].inputs
    want, found = full.predict(inputs)["output"], compiled.predict(inputs)["output"]
    assert found.dtype == np.float32
    assert np.abs(found - want).max() <= 0.1 * np.abs(want).max()
